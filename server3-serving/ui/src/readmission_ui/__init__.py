"""Server 3 of the readmission platform: the pages people look at."""

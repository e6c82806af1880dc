"""Server 3 of the readmission platform: the inference API."""

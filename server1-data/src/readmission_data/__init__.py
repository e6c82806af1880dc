"""Server 1 of the readmission platform: raw data, clean data and training."""

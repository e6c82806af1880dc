"""The model in use: server 3's prediction log, compared with the training data."""

"""The routes of the inference API: requests in, answers out."""

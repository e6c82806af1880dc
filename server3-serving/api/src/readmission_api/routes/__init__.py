"""The routes of the inference API."""

"""Replay patients of the test split as traffic of the inference API, followed by their outcomes."""

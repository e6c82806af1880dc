"""Candidates trained on CleanData, measured, and recorded as MLflow runs."""

"""History."""

from readmission_ui.api_client import ApiClient


def record(client: ApiClient) -> None:
    """Record."""

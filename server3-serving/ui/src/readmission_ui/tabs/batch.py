"""Many patients: a CSV in, a table and a CSV out."""

from readmission_ui.page import Page


def draw(page: Page) -> None:
    """Draw the tab."""

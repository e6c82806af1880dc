"""What Alertmanager sends to a webhook, and which of it asks for a training."""

from datetime import datetime
from typing import Final, Literal

from pydantic import BaseModel, Field

ACTION: Final = ("action", "retrain")
"""The label that makes an alert ask for a training."""


class Alert(BaseModel):
    """One alert of a delivery; what is not needed here is left alone."""

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    starts_at: datetime = Field(alias="startsAt")

    @property
    def asks_for_training(self) -> bool:
        """Whether it fires now and has the label `action: retrain`."""
        name, value = ACTION
        return self.status == "firing" and self.labels.get(name) == value

    @property
    def words(self) -> str:
        """The alert in a few words: its name, and the field that drifted where it is about one."""
        name = self.labels.get("alertname", "an alert without a name")
        field = self.labels.get("field")
        return f"{name} ({field})" if field else name


class Delivery(BaseModel):
    """The body of Alertmanager's webhook, version 4."""

    version: Literal["4"]
    alerts: list[Alert] = Field(max_length=10_000)

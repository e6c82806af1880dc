"""Alertmanager's messages to a webhook, and the alerts in them that request a training."""

from datetime import datetime
from typing import Final, Literal

from pydantic import BaseModel, Field

ACTION: Final = ("action", "retrain")
"""The label of alerts that request a training."""


class Alert(BaseModel):
    """One alert of a delivery; other fields are ignored."""

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
        """A short description of the alert: its name, and the drifted field if it is about one."""
        name = self.labels.get("alertname", "an unnamed alert")
        field = self.labels.get("field")
        return f"{name} ({field})" if field else name


class Delivery(BaseModel):
    """The body of Alertmanager's webhook, version 4."""

    version: Literal["4"]
    alerts: list[Alert] = Field(max_length=10_000)

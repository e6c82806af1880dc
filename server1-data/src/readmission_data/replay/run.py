"""One replay, from RawData to its summary."""

import asyncio
from typing import Any

from readmission_data.replay import patients
from readmission_data.replay.options import ReplayOptions, ReplaySettings
from readmission_data.replay.traffic import Traffic
from readmission_data.settings import DataSettings


def replay(settings: DataSettings, api: ReplaySettings, options: ReplayOptions) -> dict[str, Any]:
    """Replay test patients and return the counts. Raise `ReadmissionDataError` if it fails. Blocks."""
    drawn = patients.draw(patients.read(settings), options)

    async def send() -> dict[str, Any]:
        return (await Traffic(api, options).send(drawn)).summary()

    return asyncio.run(send())

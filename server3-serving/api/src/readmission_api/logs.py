"""Log lines: plain text, or one JSON object per line with the request's id and the version that serves."""

import logging
import traceback
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec

logger: Final = logging.getLogger("readmission_api")
"""The one logger of the inference API."""

REQUEST_ID: Final[ContextVar[str | None]] = ContextVar("request_id", default=None)
"""The id of the request that is being answered."""

LogFormat = Literal["text", "json"]


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line: time in UTC, level, logger, message, and the context if it is known."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name in ("request_id", "model_version"):
            if (value := getattr(record, name, None)) is not None:
                line[name] = value
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


class LogContext(logging.Filter):
    """Adds the request's id and the serving version to the records of `logger`."""

    def __init__(self, model_version: Callable[[], str | None]) -> None:
        super().__init__()
        self._model_version = model_version

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the context; no record is dropped."""
        record.request_id = REQUEST_ID.get()
        record.model_version = self._model_version()
        return True


def configuration(log_format: LogFormat) -> dict[str, Any]:
    """Return the configuration of logging for the whole process."""
    formatter: dict[str, Any] = (
        {"()": JsonLines}
        if log_format == "json"
        else {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": formatter},
        "handlers": {"err": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"level": "INFO", "handlers": ["err"]},
        "loggers": {"uvicorn.access": {"level": "CRITICAL", "handlers": [], "propagate": False}},
    }


def log_crash(error: BaseException, what: str) -> None:
    """Log where an error was raised, without its message, which may contain a patient's values.

    `what` failed: a request by its id, or a background task.
    """
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames[-6:]))
    logger.error("%s failed: %s at %s", what, type(error).__name__, where)

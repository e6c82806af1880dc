"""Log lines as JSON, with their request and version."""

import json
import logging

import pytest

from readmission_api.logs import REQUEST_ID, JsonLines, LogContext, logger


@pytest.fixture
def lines():
    """The lines that a handler with the JSON format has written."""
    written = []

    class Handler(logging.Handler):
        def emit(self, record):
            written.append(json.loads(self.format(record)))

    handler, context = Handler(), LogContext(lambda: "7")
    handler.setFormatter(JsonLines())
    logger.addHandler(handler)
    logger.addFilter(context)
    yield written
    logger.removeHandler(handler)
    logger.removeFilter(context)


def test_a_line_names_its_request_and_the_version(lines):
    token = REQUEST_ID.set("ward-7")
    logger.warning("the registry does not answer (%s)", "Timeout")
    REQUEST_ID.reset(token)
    logger.error("version 8 refused")
    first, second = lines
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "level": "WARNING",
        "logger": "readmission_api",
        "message": "the registry does not answer (Timeout)",
        "request_id": "ward-7",
        "model_version": "7",
    }
    assert "request_id" not in second

"""Requests leave no reference cycles, because garbage collection would delay other requests."""

import gc
import json
import threading
import time
from http import HTTPStatus
from http.client import HTTPConnection

import pytest
import uvicorn

from readmission_api.app import create_app
from readmission_api.settings import ApiSettings
from server3.api.support.tracking import free_port

REQUESTS = 200


@pytest.fixture
def client(tmp_path, shared_registry):
    """A client of a server that runs in this process."""
    port = free_port()
    settings = ApiSettings(
        port=port,
        state_dir=tmp_path,
        tracking_uri=shared_registry.uri,
        model_name=shared_registry.model,
        reload_seconds=3600,
    )
    server = uvicorn.Server(
        uvicorn.Config(create_app(settings), port=port, proxy_headers=False, log_level="warning")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.05)
    client = HTTPConnection("127.0.0.1", port, timeout=30)
    yield client
    client.close()
    server.should_exit = True
    thread.join(30)
    gc.unfreeze()


def test_predictions_leave_no_garbage(client, patient):
    body = json.dumps(patient)

    def ask():
        client.request("POST", "/predict", body, {"content-type": "application/json"})
        with client.getresponse() as answer:
            answer.read()
            assert answer.status == HTTPStatus.OK

    ask()
    gc.collect()
    gc.disable()
    try:
        for _ in range(REQUESTS):
            ask()
        found = gc.collect()
    finally:
        gc.enable()
    assert found < REQUESTS / 2

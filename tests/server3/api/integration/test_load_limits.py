"""Overload and slow clients."""

import json
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from server3.api.support.service import Service


@pytest.fixture(scope="module")
def limited(tmp_path_factory, shared_registry):
    """A service with room for one batch and one single patient at a time, and short time limits."""
    folder = tmp_path_factory.mktemp("limited")
    with Service(
        folder,
        shared_registry,
        max_batches=1,
        max_batch_queue=0,
        max_explanations=1,
        max_explanation_queue=0,
        max_queue=1,
        body_timeout_seconds=1,
    ) as service:
        yield service.start()


def test_batches_past_the_queue_are_shed(limited, patient):
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: limited.http.post("/explain?samples=1024", json=patient), range(6)))
    shed = [answer for answer in answers if answer.status_code == 503]
    assert {answer.status_code for answer in answers} == {200, 503}
    for answer in shed:
        assert answer.json()["code"] == "overloaded"
        assert answer.headers["retry-after"] == "1"
    assert limited.metric("requests_shed_total", route="/explain") == len(shed)


def test_single_patients_past_the_queue_are_shed(limited, patient):
    body = json.dumps(patient).encode()
    request = (
        b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
        % (len(body), body)
    )
    connections = [socket.create_connection(("127.0.0.1", limited.port)) for _ in range(30)]
    for connection in connections:
        connection.sendall(request)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
    # The server is stopped until all have sent their requests, so that it sees them in one turn.
    limited.process.send_signal(signal.SIGSTOP)
    for connection in connections:
        connection.sendall(request)
    limited.process.send_signal(signal.SIGCONT)
    statuses = []
    for connection in connections:
        statuses.append(int(connection.recv(65_536).split()[1]))
        connection.close()
    assert set(statuses) == {200, 503}
    assert limited.metric("requests_shed_total", route="/predict") == statuses.count(503)
    assert limited.http.post("/predict", json=patient).status_code == 200


@pytest.mark.parametrize("path", ["/predict", "/predict_batch", "/explain"])
def test_a_body_that_does_not_come_is_not_waited_for(limited, path):
    with socket.create_connection(("127.0.0.1", limited.port), timeout=10) as connection:
        connection.sendall(
            b"POST %b HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"
            % path.encode()
        )
        started = time.monotonic()
        answer = b"".join(iter(lambda: connection.recv(65_536), b""))
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b'"code":"body_timeout"' in answer
        assert time.monotonic() - started < 9


def test_a_client_that_leaves_is_no_error(limited, patient):
    body = json.dumps(patient).encode()
    for sent in (body[:100], body):
        with socket.create_connection(("127.0.0.1", limited.port)) as connection:
            connection.sendall(
                b"POST /predict HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
                b"content-length: %d\r\n\r\n%b" % (len(body), sent)
            )
    limited.wait(lambda: limited.http.post("/predict", json=patient).status_code == 200)
    assert "ERROR" not in limited.log()


def test_a_running_batch_is_answered_after_sigterm(registry, versions, patient, new_service):
    registry.register(versions.one, "production")
    service = new_service(registry).start()
    text = ",".join(patient) + "\n" + (",".join(map(str, patient.values())) + "\n") * 30_000
    stopped = []
    with service.http.stream(
        "POST", "/predict_batch", content=text, headers={"content-type": "text/csv"}
    ) as answer:
        parts = answer.iter_bytes()
        first = next(parts)
        stopping = threading.Thread(target=lambda: stopped.append(_terminate(service)))
        stopping.start()
        rest = b"".join(parts)
    stopping.join()
    assert stopped == [0]
    assert (first + rest).count(b"\r\n") == 30_001


def _terminate(service):
    service.process.terminate()
    return service.process.wait(timeout=60)


def test_several_workers_count_as_one(registry, versions, patient, new_service):
    registry.register(versions.one, "production")
    service = new_service(registry, workers=2).start()
    port = service.port

    def ask(_):
        # Separate connections, so that both workers get some.

        return httpx.post(f"http://127.0.0.1:{port}/predict", json=patient, timeout=30).status_code

    with ThreadPoolExecutor(8) as pool:
        service.wait(lambda: set(pool.map(ask, range(8))) == {200} and len(counters(service)) == 2)
        before = predicted(service)
        assert set(pool.map(ask, range(100))) == {200}
    for _ in range(5):
        assert predicted(service) == before + 100
        assert service.metric("prediction_latency_seconds_count") == before + 100
    assert service.metric("model_ready") == 1
    assert service.metric("process_resident_memory_bytes") > 2e8
    # A reload that one worker receives also reaches the other.
    two = registry.register(versions.two, "production")
    assert service.http.post("/reload_model").json()["version"] == two
    service.wait(lambda: {_version(port, patient) for _ in range(20)} == {two})
    assert service.stop() == 0


def counters(service):
    """Return the workers that have counted something."""
    return list((service.state_dir / f"metrics-{service.port}").glob("counter_*.db"))


def predicted(service):
    return sum(service.metric("predictions_total", **{"class": name}) or 0 for name in ("0", "1"))


def _version(port, patient):

    return httpx.post(f"http://127.0.0.1:{port}/predict", json=patient, timeout=30).json()["version"]

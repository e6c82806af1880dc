"""The change from one version to the next, and its failures."""

import json
import shutil

import pytest

from server3.api.support.tracking import changed_copy


def version_of(service, patient):
    return service.http.post("/predict", json=patient).json().get("version")


@pytest.fixture
def truncated(versions, tmp_path):
    """A version whose graph was truncated after it was signed."""
    # With its own manifest: files with a known hash are not fetched again.
    folder = changed_copy(versions.two, tmp_path / "truncated", candidate="truncated")
    graph = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(graph[: len(graph) // 2])
    return folder


def test_versions_come_and_bad_ones_do_not(registry, versions, patient, new_service, truncated, tmp_path):
    one = registry.register(versions.one, "production")
    service = new_service(registry, reload_seconds=0.3, token="open sesame").start()
    reload = {"headers": {"authorization": "Bearer open sesame"}}
    assert version_of(service, patient) == one

    # A new version is followed automatically.
    two = registry.register(versions.two, "production")
    service.wait(lambda: version_of(service, patient) == two)
    assert service.metric("model_info", version=one) in {None, 0}
    assert service.metric("model_info", version=two) == 1

    # Reloads need the token.
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "open sesame"}):
        answer = service.http.post("/reload_model", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
    assert service.http.post("/reload_model", **reload).json()["result"] == "unchanged"

    # Changed files are refused: retried a few times, then ignored.
    registry.register(truncated, "production")
    service.wait(lambda: service.metric("model_reloads_total", result="refused") >= 1)
    service.wait(lambda: service.metric("model_reloads_total", result="refused_before") >= 2)
    assert service.metric("model_reloads_total", result="refused") == 3
    assert service.metric("model_version_refused") == 1
    assert version_of(service, patient) == two
    assert service.http.get("/health").json()["stale"] is True
    assert "not the file that was registered" in service.http.get("/model").json()["reload"][
        "last_error"
    ] or ("refused before" in service.http.get("/model").json()["reload"]["last_error"])
    answer = service.http.post("/reload_model", **reload)
    assert (answer.status_code, answer.json()["code"]) == (502, "model_refused")
    assert version_of(service, patient) == two

    # So are an unknown schema version, a manifest with another hash, and a version with wrong risks.
    newer = changed_copy(versions.two, tmp_path / "newer", schema_version="2.0")
    wrong = versions.two
    for folder, manifest in ((newer, None), (wrong, "0" * 64)):
        registry.register(folder, "production", manifest_sha256=manifest)
        answer = service.http.post("/reload_model", **reload)
        assert (answer.status_code, answer.json()["code"]) == (502, "model_refused")
        assert version_of(service, patient) == two

    # The alias moves back: everything is fine again, whether the loop was faster or not.
    registry.point("production", one)
    answer = service.http.post("/reload_model", **reload).json()
    assert (answer["result"], answer["version"]) in {("loaded", one), ("unchanged", one)}
    assert version_of(service, patient) == one
    assert service.metric("model_version_refused") == 0

    # A pin is shown until it is released, and nothing else is shown as one.
    pin = {"version": one, "by": "ana", "reason": "audit", "at": "2026-05-01T10:00:00+00:00"}
    for tag, shown in ((json.dumps(pin), pin), ('{"version": 3}', None), (json.dumps(pin), pin), ("", None)):
        registry.client.set_registered_model_tag(registry.model, "pin", tag)
        service.http.post("/reload_model", **reload)
        assert service.http.get("/model").json()["pin"] == shown
        assert service.metric("model_pinned") == (shown is not None)

    # No version has the alias: the last one keeps serving.
    registry.unset("production")
    answer = service.http.post("/reload_model", **reload)
    assert (answer.status_code, answer.json()["code"]) == (409, "alias_unset")
    assert version_of(service, patient) == one
    assert "Traceback" not in service.log()


def test_a_schema_of_a_newer_major_is_live_and_not_ready(registry, versions, patient, new_service, tmp_path):
    newer = changed_copy(versions.one, tmp_path / "newer", schema_version="2.0")
    registry.register(newer, "production")
    service = new_service(registry, reload_seconds=0.3).start(ready=False)
    service.wait(lambda: service.metric("model_reloads_total", result="refused") == 1)
    answer = service.http.get("/health/ready")
    assert answer.status_code == 503
    assert "version 2.0" in answer.json()["reason"] or "refused before" in answer.json()["reason"]
    answer = service.http.post("/predict", json=patient)
    assert (answer.status_code, answer.json()["code"]) == (503, "no_model")
    assert answer.headers["retry-after"] == "5"
    assert service.http.get("/model/schema").status_code == 503
    assert service.http.get("/openapi.json").status_code == 200

    good = registry.register(versions.one, "production")
    service.wait(lambda: version_of(service, patient) == good)


def test_the_registry_goes_away_and_comes_back(registry, tracking, versions, patient, new_service, tmp_path):
    one = registry.register(versions.one, "production")
    two = registry.register(versions.two)
    running = new_service(registry, reload_seconds=0.5).start()
    state = tmp_path / "service" / "state"
    tampered, empty = tmp_path / "tampered", tmp_path / "empty"
    running.wait((state / "production.json").exists)
    shutil.copytree(state, tampered)
    for schema in tampered.glob("versions/*/input_schema.json"):
        schema.write_text(schema.read_text().replace('"threshold": 0.', '"threshold": 0.9'))

    with tracking.away():
        # It keeps serving from memory, and reports that it cannot check the alias.
        running.wait(lambda: running.metric("model_reloads_total", result="unreachable") >= 1)
        assert version_of(running, patient) == one
        assert running.http.get("/health").json()["stale"] is True
        assert running.http.get("/health/ready").status_code == 200
        answer = running.http.post("/reload_model")
        assert (answer.status_code, answer.json()["code"]) == (503, "registry_unreachable")

        # A restart serves the verified copy on disk.
        assert running.stop() == 0
        restarted = new_service(registry, reload_seconds=0.5).start()
        assert version_of(restarted, patient) == one
        assert restarted.http.get("/health").json()["source"] == "disk"
        assert restarted.metric("model_info", version=one, source="disk") == 1

        # Without a copy, or with a changed one, it stays alive and waits.
        for folder in (tampered, empty):
            waiting = new_service(registry, reload_seconds=0.5, state_dir=folder).start(ready=False)
            waiting.wait(lambda: waiting.metric("model_reloads_total", result="unreachable") >= 1)  # noqa: B023
            assert waiting.http.get("/health/ready").status_code == 503
            assert waiting.http.post("/predict", json=patient).json()["code"] == "no_model"
            if folder == tampered:
                waiting.kill()

    waiting.wait(lambda: version_of(waiting, patient) == one)
    restarted.wait(lambda: restarted.http.get("/health").json()["source"] == "registry")
    registry.point("production", two)
    for service in (waiting, restarted):
        service.wait(lambda: version_of(service, patient) == two)  # noqa: B023


def test_a_refused_production_falls_back_to_the_disk_after_a_restart(
    registry, versions, patient, new_service, truncated
):
    one = registry.register(versions.one, "production")
    new_service(registry).start().stop()
    registry.register(truncated, "production")
    service = new_service(registry).start()
    assert version_of(service, patient) == one
    assert service.http.get("/health").json()["source"] == "disk"
    assert service.metric("model_version_refused") == 1


def test_a_restart_serves_the_copy_on_disk_though_the_registry_has_forgotten_the_model(
    registry, versions, patient, new_service
):
    one = registry.register(versions.one, "production")
    new_service(registry).start().stop()
    registry.client.delete_registered_model(registry.model)
    service = new_service(registry).start()
    assert version_of(service, patient) == one
    health = service.http.get("/health").json()
    assert (health["source"], health["stale"]) == ("disk", True)


def test_a_synthetic_model_says_so_everywhere(registry, versions, patient, new_service):
    registry.register(versions.synthetic, "production")
    service = new_service(registry).start()
    assert service.http.get("/").json()["synthetic"] is True
    assert service.http.get("/model").json()["synthetic"] is True
    answers = [
        service.http.get("/"),
        service.http.get("/model"),
        service.http.post("/predict", json=patient),
        service.http.post("/predict_batch", json=[patient]),
        service.http.post("/explain", json=patient),
    ]
    for answer in answers:
        assert "SYNTHETIC" in answer.json()["warning"], answer.url
    assert service.metric("model_info", dataset="synthetic") == 1


def test_settings_that_make_no_sense_are_told_in_one_line(new_service):
    service = new_service(reload_seconds="soon")
    with pytest.raises(AssertionError):
        service.start()
    assert service.process.returncode == 2
    assert service.log().splitlines() == [
        "READMISSION_API_RELOAD_SECONDS: Input should be a valid number, unable to parse string as a number"
    ]


def test_the_challenger_is_scored_unseen(registry, versions, new_service):
    registry.register(versions.one, "production")
    two = registry.register(versions.two, "challenger")
    service = new_service(registry, reload_seconds=0.5).start()
    service.wait(lambda: service.http.get("/model").json()["challenger"] is not None)
    ours = versions.exam(versions.one)[:200]
    for patient, _ in ours:
        assert service.http.post("/predict", json=patient).json()["version"] == "1"
    service.wait(lambda: service.metric("shadow_predictions_total", version=two) == len(ours))
    mean = service.metric("shadow_difference_sum") / service.metric("shadow_difference_count")

    registry.point("production", two)
    service.http.post("/reload_model")
    first = {json.dumps(patient): expected for patient, expected in ours}
    risks = service.http.post("/predict_batch", json=[patient for patient, _ in ours]).json()["predictions"]
    differences = [
        abs(answer["probability"] - first[json.dumps(patient)])
        for answer, (patient, _) in zip(risks, ours, strict=True)
    ]
    assert mean == pytest.approx(sum(differences) / len(differences), rel=1e-4)

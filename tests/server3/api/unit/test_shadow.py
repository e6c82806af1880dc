import copy
import time
from types import SimpleNamespace

import msgspec
import pytest

from readmission_api.metrics.instruments import Instruments
from readmission_api.predictor.patients import Patients
from readmission_api.scored import Scored
from readmission_api.shadow import Shadow, rows_for
from server3.api.conftest import load_folder


@pytest.fixture(scope="module")
def rows(predictor, versions):
    return [predictor.patients.read_value(patient) for patient, _ in versions.exam(versions.one)[:100]]


@pytest.fixture
def shadow():
    store, instruments = SimpleNamespace(challenger=None), Instruments()
    shadow = Shadow(store, instruments, rows_per_second=1_000)
    shadow.start()
    yield SimpleNamespace(store=store, registry=instruments.registry, offer=shadow.offer)
    shadow.stop()


def wait_for(shadow, name, **labels):
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if found := shadow.registry.get_sample_value(name, labels):
            return found
        time.sleep(0.02)
    raise AssertionError(f"{name} {labels} stays 0")


def scored(predictor, rows):
    return Scored(predictor, ["r"] * len(rows), range(len(rows)), rows, [0.1] * len(rows), 0.0)


def test_a_challenger_that_fails_does_not_end_the_shadow(shadow, predictor, rows, versions, caplog):
    shadow.store.challenger = bad = copy.copy(predictor)
    bad.score = lambda _: float("SECRET")
    shadow.offer(scored(predictor, rows))
    assert wait_for(shadow, "shadow_dropped_total", reason="unfit") == len(rows)
    assert "SECRET" not in caplog.text

    shadow.store.challenger = load_folder(versions.two, "2")
    shadow.offer(scored(predictor, rows))
    assert wait_for(shadow, "shadow_predictions_total", version="2") == len(rows)


def test_of_more_than_it_can_take_it_takes_a_part(shadow, predictor, rows):
    shadow.store.challenger = predictor
    many = rows * 11
    shadow.offer(scored(predictor, many))
    left_out = wait_for(shadow, "shadow_dropped_total", reason="sampled")
    assert 0 < left_out < len(many)
    until = time.monotonic() + 10
    version = predictor.version.version
    while shadow.registry.get_sample_value("shadow_predictions_total", {"version": version}) != (
        len(many) - left_out
    ):
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_field_of_another_kind_is_another_field(predictor, rows):
    fields = list(predictor.schema.fields)
    place = next(index for index, field in enumerate(fields) if field.kind == "category")
    fields[place] = msgspec.structs.replace(
        fields[place], kind="integer", minimum=0, maximum=9, levels=(), absent=None, reference=0
    )
    graph = predictor.schema.graph
    name = fields[place].name
    graph = msgspec.structs.replace(
        graph,
        numeric=(*graph.numeric, name),
        categorical=tuple(other for other in graph.categorical if other != name),
    )
    other = copy.copy(predictor)
    other.patients = Patients(msgspec.structs.replace(predictor.schema, fields=tuple(fields), graph=graph))
    assert rows_for(predictor, predictor, rows) == rows
    assert rows_for(other, predictor, rows) == []

"""When certificates expire: the script of the hosts, and what the prober sees of an edge."""

import re
import subprocess
import time

import pytest

from server3.observability import conftest

DAY = 86_400


def written(out):
    return {
        path: int(seconds)
        for path, seconds in re.findall(
            r'^readmission_certificate_not_after_seconds\{path="(.+)"\} (\d+)$', out.read_text(), re.MULTILINE
        )
    }


def test_the_expiry_of_each_file_is_written(tmp_path):
    server = conftest.certificate(tmp_path / "a", days=5)
    proxy = conftest.certificate(tmp_path / "b", days=400).rename(tmp_path / "front-proxy-client.crt")
    out = tmp_path / "certificates.prom"
    subprocess.run([conftest.CERTIFICATE_METRICS, out, server, proxy], check=True)
    assert written(out) == {
        "server.crt": pytest.approx(time.time() + 5 * DAY, abs=60),
        "front-proxy-client.crt": pytest.approx(time.time() + 400 * DAY, abs=60),
    }
    assert out.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.glob(".certificates*")] == []


def test_a_host_without_certificates_has_none(tmp_path):
    out = tmp_path / "certificates.prom"
    subprocess.run([conftest.CERTIFICATE_METRICS, out, f"{tmp_path}/*.crt"], check=True)
    assert written(out) == {}


def test_an_unreadable_file_is_an_error_and_the_last_answer_stays(tmp_path):
    out, broken = tmp_path / "certificates.prom", tmp_path / "broken.crt"
    out.write_text("the last answer")
    broken.write_text("no certificate")
    ran = subprocess.run(
        [conftest.CERTIFICATE_METRICS, out, broken], check=False, capture_output=True, text=True
    )
    assert ran.returncode != 0
    assert out.read_text() == "the last answer"
    assert list(tmp_path.glob(".certificates*")) == []


@pytest.mark.mysql
def test_an_edge_and_its_chain_are_probed(watched):
    for metric in ("probe_ssl_earliest_cert_expiry", "probe_ssl_last_chain_expiry_timestamp_seconds"):
        [seconds] = watched.values(f'{metric}{{job="edges"}}', instant=True).values()
        assert seconds == [pytest.approx(watched.began + 90 * DAY, abs=600)]

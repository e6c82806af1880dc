"""The object store behind server 2's edge: a real MinIO, a real nginx, and uploads that nobody signed."""

import http.client
import io
import re
import tarfile
from contextlib import closing
from datetime import UTC, datetime
from io import BytesIO
from urllib.parse import quote

import pytest
import urllib3
from minio import Minio
from minio.error import S3Error

from backup.conftest import KEYS, client, store_settings
from backup.support import minio
from readmission_backup.accounts import set_up
from support.edge import KUBELET, Edge, Names, files_of, need_nginx

S3 = 30001
TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
KEY = KEYS["backup"][0]
ARTIFACTS = "mlflow"


@pytest.fixture(scope="module")
def edge(store, tmp_path_factory):
    need_nginx()
    names = Names()
    names.address = "127.0.0.1"
    port = int(store.url.rpartition(":")[2])
    edge = Edge(tmp_path_factory.mktemp("edge"), files_of("server2-tracking"), names, {9000: port})
    try:
        edge.until(KUBELET, (200, "ok\n"))
        yield edge
    finally:
        edge.stop()


def credential(key=KEY):
    return f"{key}/{datetime.now(UTC):%Y%m%d}/us-east-1/s3/aws4_request"


def chunked(content):
    """Return a body of unsigned chunks without a trailer."""
    return b"%x\r\n%b\r\n0\r\n" % (len(content), content)


def archive(name):
    """Return a tar file with one file, whose name becomes an object's."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = 6
        tar.addfile(entry, BytesIO(b"forged"))
    return packed.getvalue()


def unsigned_upload(name):
    """Return an upload whose writer knows the access key only."""
    path = f"/backups/{name}?X-Amz-Credential={quote(credential(), safe='')}"
    length = {"X-Amz-Decoded-Content-Length": "6"}
    return path, {"X-Amz-Content-Sha256": TRAILER, **length}, chunked(b"forged")


def unsigned_archive(name):
    """Return an upload of an archive with a signature that is none."""
    moment = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    signed = f"Credential={credential(KEYS['mlflow'][0])}, SignedHeaders=host, Signature={'0' * 64}"
    headers = {
        "Authorization": f"AWS4-HMAC-SHA256 {signed}",
        "X-Amz-Content-Sha256": TRAILER,
        "X-Amz-Date": moment,
        "X-Amz-Meta-Snowball-Auto-Extract": "true",
    }
    return f"/{ARTIFACTS}/archive.tar", headers, archive(name)


# The bucket of the backups is locked, and MinIO denies an archive there by itself.
ATTACKS = {"an upload": (unsigned_upload, "backups"), "an archive": (unsigned_archive, ARTIFACTS)}


def written(store, name, bucket="backups"):
    return [item.object_name for item in client(store, "root").list_objects(bucket, prefix=name)]


@pytest.mark.parametrize("attack", ATTACKS)
def test_whoever_knows_an_access_key_writes_nothing(attack, store, edge):
    # In the folder of the account: elsewhere it may not write, whatever the signature is.
    name = f"test-forged/{attack.replace(' ', '-')}"
    make, bucket = ATTACKS[attack]
    path, headers, body = make(name)
    # MinIO by itself takes it.
    with closing(http.client.HTTPConnection(store.url.removeprefix("http://"), timeout=20)) as direct:
        direct.request("PUT", path, body, headers)
        assert direct.getresponse().status == 200
    assert written(store, name, bucket) == [name]
    client(store, "root").remove_object(bucket, name)

    assert edge.ask(S3, path, "PUT", headers, body)[0] == 403
    assert written(store, name, bucket) == []


@pytest.mark.parametrize(
    "change",
    [
        {"X-Amz-Content-Sha256": TRAILER.lower()},
        {"X-Amz-Content-Sha256": f"UNSIGNED-PAYLOAD, {TRAILER}"},
        {"x_amz_content_sha256": "UNSIGNED-PAYLOAD"},
        {"Authorization": f"AWS4-HMAC-SHA256 Credential={KEY}"},
        {"Authorization": "Bearer nothing", "X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD"},
        {"X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD"},
        {"X-Amz-Content-Sha256": ""},
    ],
)
def test_an_attack_in_other_clothes_is_refused_too(change, store, edge):
    path, headers, body = unsigned_upload("test-forged/disguised")
    assert edge.ask(S3, path, "PUT", headers | change, body)[0] in {400, 403}
    assert written(store, "test-forged/disguised") == []


def test_a_second_header_of_the_same_name_hides_nothing(store, edge):
    """In a program that reads the first of two headers, and in one that reads the last."""
    path, headers, body = unsigned_upload("test-forged/twice")
    for first, second in [(TRAILER, "UNSIGNED-PAYLOAD"), ("UNSIGNED-PAYLOAD", TRAILER)]:
        several = urllib3.HTTPHeaderDict(
            {name: value for name, value in headers.items() if "Sha" not in name}
        )
        several.add("Authorization", f"AWS4-HMAC-SHA256 Credential={credential()}")
        several.add("X-Amz-Content-Sha256", first)
        several.add("X-Amz-Content-Sha256", second)
        address = f"https://127.0.0.1:{edge.ports[S3]}"
        with urllib3.PoolManager(ca_certs=str(edge.authority), assert_hostname=False) as pool:
            answer = pool.request("PUT", address + path, body=body, headers=several, retries=False)
        assert answer.status in {400, 403}
        assert written(store, "test-forged/twice") == []


@pytest.mark.parametrize(
    "path",
    [
        "/minio/admin/v3/list-users",
        "/minio/v2/metrics/cluster",
        "/minio/health/../admin/v3/info",
        "//minio/admin/v3/info",
    ],
)
def test_the_edge_leads_to_no_interface_but_s3(path, edge):
    assert edge.ask(S3, path, headers={"Authorization": "Bearer x"})[0] == 403


def test_probes_of_the_store_need_no_signature(edge):
    for path in ("/minio/health/live", "/minio/health/cluster"):
        assert edge.ask(S3, path)[0] == 200


def test_a_client_with_the_secret_works_as_before(edge):
    access, secret = KEYS["backup"]
    pool = urllib3.PoolManager(ca_certs=str(edge.authority), assert_hostname=False)
    through = Minio(f"127.0.0.1:{edge.ports[S3]}", access, secret, region="us-east-1", http_client=pool)
    content = b"a" * (6 * 1024 * 1024)
    # Of unknown size: in parts.
    through.put_object("backups", "test-edge/parts", BytesIO(content), -1, part_size=5 * 1024 * 1024)
    through.put_object("backups", "test-edge/one", BytesIO(b"one"), 3)
    assert {item.object_name for item in through.list_objects("backups", "test-edge/")} == {
        "test-edge/parts",
        "test-edge/one",
    }
    answer = through.get_object("backups", "test-edge/parts")
    assert answer.read() == content
    answer.close()
    wrong = Minio(f"127.0.0.1:{edge.ports[S3]}", access, "x" * 32, region="us-east-1", http_client=pool)
    with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
        wrong.put_object("backups", "test-edge/wrong", BytesIO(b"one"), 3)
    pool.clear()


def test_an_access_key_of_before_opens_nothing(tmp_path):
    """As at the first deployment with keys of 32 letters, and at each rotation."""
    long = {
        "mlflow_access": "m" * 32,
        "mlflow_secret": "M" * 32,
        "tracking_backup_access": "b" * 32,
        "tracking_backup_secret": "B" * 32,
        **{f"{name}_access": name[0] * 32 for name in ("data_backup", "expiry", "copies")},
        **{f"{name}_secret": name[0] * 33 for name in ("data_backup", "expiry", "copies")},
    }
    with minio.running(tmp_path / "store") as store:
        set_up(store_settings(store))
        set_up(store_settings(store, **long))
        now = Minio(store.url.removeprefix("http://"), "b" * 32, "B" * 32, secure=False, region="us-east-1")
        now.put_object("backups", "test-edge/new", BytesIO(b"one"), 3)
        for user in KEYS:
            with pytest.raises(S3Error, match=re.escape("InvalidAccessKeyId")):
                list(client(store, user).list_objects("backups"))
        headers = {"X-Amz-Content-Sha256": TRAILER, "X-Amz-Decoded-Content-Length": "6"}
        with closing(http.client.HTTPConnection(store.url.removeprefix("http://"), timeout=20)) as direct:
            path, _, body = unsigned_upload("old-key")
            direct.request("PUT", path, body, headers)
            assert direct.getresponse().status == 403

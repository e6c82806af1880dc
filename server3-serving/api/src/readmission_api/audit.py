"""The audit trail: which client asked for what, when, and from where. It never holds a patient's values.

The database user of this process may insert lines and nothing else. A line names the request, and the
prediction log holds the patient of that request: `audit_report` brings both together for an auditor.
"""

import hmac
import threading
import time
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import ip_address
from typing import Final, Literal, NamedTuple

from pydantic import SecretStr
from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    insert,
)
from sqlalchemy.dialects.mysql import DATETIME

from readmission_api.logs import logger
from readmission_api.prediction_log.tables import connect

METADATA = MetaData()
# On MySQL the Job mysql-users creates it, in the database Audit: server1-data/deploy/mysql/grants.sh.
ACCESSES = Table(
    "accesses",
    METADATA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at", DateTime().with_variant(DATETIME(fsp=6), "mysql", "mariadb"), nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("client", String(32)),
    Column("address", String(45), nullable=False),
    Column("action", String(16), nullable=False),
    Column("status", SmallInteger, nullable=False),
    Index("accesses_request", "request_id"),
    Index("accesses_client", "client", "at"),
)

ACTIONS: Final = {
    "/predict": "predict",
    "/predict_batch": "predict_batch",
    "/explain": "explain",
    "/outcomes": "outcomes",
    "/reload_model": "reload",
}
_UNAUTHORIZED: Final = 401
_MOST_WAITING: Final = 100_000
_LINES_AT_ONCE: Final = 100
_REST_SECONDS: Final = 0.002
_TURN_SECONDS: Final = 1.0
_LONGEST_PAUSE: Final = 10.0


class Line(NamedTuple):
    """One request: a Unix time, the client (`None` for an open API) and its address."""

    at: float
    request_id: str
    client: str | None
    address: str
    action: str
    status: int


class AuditTrail:
    """Writes lines in the background; a request only appends to a queue. Without a URL it does nothing."""

    def __init__(self, url: SecretStr | None, edge_key: SecretStr | None) -> None:
        self.state: Literal["off", "ok", "failing"] = "off" if url is None else "ok"
        self._edge_key = edge_key.get_secret_value().encode() if edge_key else None
        self._waiting: deque[Line] = deque()
        self._lost = 0
        self._pause = _TURN_SECONDS
        self._wanted = threading.Event()
        self._stopping = False
        if url is not None:
            self._engine = connect(url.get_secret_value())
            self._tables_made = self._engine.dialect.name != "sqlite"
            self._thread = threading.Thread(target=self._run, name="audit", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        if self.state != "off":
            self._thread.start()

    def stop(self, seconds: float) -> None:
        """Write what waits, within this time, and end."""
        if self.state == "off":
            return
        self._stopping = True
        self._wanted.set()
        self._thread.join(seconds)
        if left := len(self._waiting) + self._lost:
            logger.error("the audit trail lost %d lines at shutdown", left)

    def note(
        self,
        path: str,
        request_id: str,
        client: str | None,
        peer: str,
        headers: Mapping[bytes, bytes],
        status: int,
    ) -> None:
        """Take in an answered request; never waits. Unauthorized requests are not recorded."""
        action = ACTIONS.get(path)
        if action is None or self.state == "off" or status == _UNAUTHORIZED:
            return
        if len(self._waiting) >= _MOST_WAITING:
            self._lost += 1
            return
        self._waiting.append(
            Line(time.time(), request_id, client, self.address(peer, headers), action, status)
        )

    def address(self, peer: str, headers: Mapping[bytes, bytes]) -> str:
        """Return the address of the client: what the edge says, if it is the edge, else the peer's."""
        if self._edge_key and hmac.compare_digest(headers.get(b"x-edge-key", b""), self._edge_key):
            return _address(headers.get(b"x-forwarded-for", b"")) or peer
        return peer

    def _run(self) -> None:
        while True:
            self._wanted.wait(self._pause)
            last = self._stopping
            self._turn()
            if last:
                return

    def _turn(self) -> None:
        try:
            if not self._tables_made:
                METADATA.create_all(self._engine)
                self._tables_made = True
            while self._waiting:
                lines = [self._waiting[place] for place in range(min(_LINES_AT_ONCE, len(self._waiting)))]
                with self._engine.begin() as connection:
                    connection.execute(insert(ACCESSES), [_row(line) for line in lines])
                for _ in lines:
                    self._waiting.popleft()
                time.sleep(_REST_SECONDS)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next try may go better
            if self.state == "ok":
                logger.error("the audit trail can't be written (%s); its lines wait", type(error).__name__)
            self.state, self._pause = "failing", min(self._pause * 2, _LONGEST_PAUSE)
            return
        if self.state == "failing":
            logger.info("the audit trail is written again; %d lines were lost", self._lost)
            self._lost = 0
        self.state, self._pause = "ok", _TURN_SECONDS


@lru_cache(maxsize=1_024)
def _address(said: bytes) -> str | None:
    """Return one IP address as text; `None` if it is not one. Cached: parsing costs more than the lookup."""
    try:
        return str(ip_address(said.decode("latin-1")))
    except ValueError:
        return None


def _row(line: Line) -> dict[str, object]:
    return line._asdict() | {"at": datetime.fromtimestamp(line.at, UTC).replace(tzinfo=None)}

"""Run the app in one process, or in several that share a port."""

import os
import shutil
import signal
import socket
import sys
from ipaddress import ip_address
from types import FrameType
from typing import Final

import uvicorn
from uvicorn.supervisors import Multiprocess

from readmission_api.clients import Clients
from readmission_api.errors import BadSettingError
from readmission_api.logs import configuration
from readmission_api.metrics.instruments import MULTIPROCESS_DIR
from readmission_api.settings import ApiSettings

_APP: Final = "readmission_api.app:create_app"
_BACKLOG: Final = 2048


def serve(settings: ApiSettings) -> None:
    """Serve until SIGTERM or SIGINT, and finish the requests that are running then.

    Raise `BadSettingError` before anything is served.
    """
    _check_clients(settings)
    listening = _bind(settings)
    # uvicorn raises the signal again after it has shut down.
    signal.signal(signal.SIGTERM, _end)
    if settings.workers == 1:
        uvicorn.Server(_config(settings)).run(sockets=[listening])
        return
    # Each worker counts in its own files; the worker that is scraped adds them up.
    folder = settings.state_dir / f"metrics-{settings.port}"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise BadSettingError(
            f"READMISSION_API_STATE_DIR: cannot create {folder} ({error.strerror}); give a writable folder"
        ) from None
    os.environ[MULTIPROCESS_DIR] = str(folder)
    Multiprocess(_config(settings), sockets=[listening]).run()


def _check_clients(settings: ApiSettings) -> None:
    """Raise `BadSettingError` if the clients cannot be read, or if anybody could predict by mistake."""
    clients = Clients(settings.clients_file, settings.token)
    local = settings.host == "localhost" or ip_address(settings.host).is_loopback
    if clients.open and not local and not settings.open:
        raise BadSettingError(
            f"READMISSION_API_CLIENTS_FILE: is not set, so anybody who reaches {settings.host} may predict; "
            "name the clients, or allow this with READMISSION_API_OPEN=true"
        )


def _bind(settings: ApiSettings) -> socket.socket:
    """Bind the port before anything else. Raise `BadSettingError` if that fails."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
    except OSError as error:
        listening.close()
        raise BadSettingError(
            f"READMISSION_API_HOST, READMISSION_API_PORT: cannot listen on {settings.host} port "
            f"{settings.port} ({error.strerror}); give an address of this machine and a free port"
        ) from None
    listening.set_inheritable(True)
    return listening


def _end(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


def _config(settings: ApiSettings) -> uvicorn.Config:
    return uvicorn.Config(
        _APP,
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        loop="uvloop",
        http="httptools",
        ws="none",
        backlog=_BACKLOG,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=settings.drain_seconds,
        log_config=configuration(settings.log_format),
    )

"""`python -m readmission_api` runs the inference API until SIGTERM."""

import logging

import uvicorn

from readmission_api.app import create_app
from readmission_api.settings import ApiSettings


def main() -> None:
    """Serve, as the environment says."""
    settings = ApiSettings()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=settings.drain_seconds,
        log_config=None,
    )


if __name__ == "__main__":
    main()

"""Run the feed: `FEED_DATASET=diabetic_data.csv python -m readmission_feed`."""

import ipaddress
import logging
import sys

import uvicorn
from pydantic import ValidationError

from readmission_feed.app import create_app
from readmission_feed.settings import FeedSettings


def main() -> int:
    """Serve until stopped; return the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        # The data set has no default, and comes from the environment.
        settings = FeedSettings()  # type: ignore[call-arg]
    except ValidationError as error:
        for item in error.errors():
            sys.stderr.write(f"error: FEED_{str(item['loc'][0]).upper()}: {item['msg']}\n")
        return 1
    if settings.token is None and not _loopback(settings.host):
        logging.getLogger(__name__).warning("open to the network without a token: set FEED_TOKEN")
    uvicorn.run(create_app(settings), host=settings.host, port=settings.port, log_config=None)
    return 0


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


if __name__ == "__main__":
    sys.exit(main())

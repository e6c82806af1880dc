"""`python -m readmission_retrain` runs the webhook until SIGTERM."""

import logging
import sys

import uvicorn
from pydantic import ValidationError

from readmission_retrain.app import create_app
from readmission_retrain.settings import RetrainSettings


def main() -> int:
    """Serve with the settings of the environment; return the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # A log line for each call of Airflow would hide the decisions.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        settings = RetrainSettings()
    except ValidationError as error:
        for problem in error.errors():
            name = "_".join(str(part) for part in problem["loc"]).upper()
            sys.stderr.write(f"READMISSION_RETRAIN_{name}: {problem['msg']}\n")
        return 2
    uvicorn.run(
        create_app(settings), host=settings.host, port=settings.port, log_config=None, access_log=False
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

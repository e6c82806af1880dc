"""`python -m readmission_ui`: serves the pages as the settings say."""

import os
import sys
from pathlib import Path

from pydantic import ValidationError

from readmission_ui.settings import UISettings


def main() -> None:
    """Replace this process with Streamlit's server, so that signals reach it."""
    try:
        settings = UISettings()
    except ValidationError as error:
        sys.exit(
            "\n".join(
                f"READMISSION_UI_{_named(problem['loc'])}: {problem['msg']}" for problem in error.errors()
            )
        )
    app = Path(__file__).with_name("app.py")
    flags = {
        "server.address": settings.address,
        "server.port": settings.port,
        "server.maxUploadSize": settings.max_upload_mb,
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
    }
    os.execv(  # noqa: S606
        sys.executable,
        [
            sys.executable,
            "-m",
            "streamlit",
            "run",
            str(app),
            *(f"--{name}={value}" for name, value in flags.items()),
        ],
    )


def _named(location: tuple[int | str, ...]) -> str:
    return "_".join(str(part) for part in location).upper()


if __name__ == "__main__":
    main()

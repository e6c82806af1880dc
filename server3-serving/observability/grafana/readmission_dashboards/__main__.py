"""Write each dashboard as JSON into a folder: python -m readmission_dashboards FOLDER."""

import json
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from readmission_dashboards import api_performance, model, operations, pipeline


def main(folder: Path) -> None:
    """Write the dashboards into an existing folder."""
    for board in (api_performance.BOARD, model.BOARD, operations.BOARD, pipeline.BOARD):
        text = json.dumps(board.build(), cls=JSONEncoder, indent=2)
        (folder / f"{board.name}.json").write_text(f"{text}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

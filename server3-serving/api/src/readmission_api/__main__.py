"""`python -m readmission_api` runs the inference API until SIGTERM."""

import sys

from pydantic import ValidationError

from readmission_api.errors import BadSettingError
from readmission_api.serve import serve
from readmission_api.settings import ApiSettings


def main() -> int:
    """Serve with the settings of the environment."""
    try:
        settings = ApiSettings()
    except ValidationError as error:
        for problem in error.errors():
            name = "_".join(str(part) for part in problem["loc"]).upper()
            what = problem["msg"].removeprefix("Value error, ")
            sys.stderr.write(f"READMISSION_API_{name}: {what}\n")
        return 2
    try:
        serve(settings)
    except BadSettingError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The options of a replay, from the command line and the environment."""

import argparse
from dataclasses import dataclass
from typing import Final

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from readmission_data.errors import ReplayError

_SHIFTS: Final = """\
Each --shift moves the population by drawing some patients more often than others; values are never made up.
  older             each decade of age twice as likely as the one before
  more-inpatient    the likelier, the more inpatient visits in the year before
  other-diagnoses   groups of the first diagnosis equally likely, as if the rare ones had become common
  FIELD=VALUE:W,…   patients with this value W times as likely; an integer field also takes 3+ and 2-5, a
                    diagnosis also the name of its ICD-9 group. Example: --shift 'age=[80-90):8,[90-100):8'
Several shifts multiply. --positives SHARE draws those who came back within 30 days until they are that share.
"""


class ReplaySettings(BaseSettings):
    """The address of the inference API and its token: `READMISSION_API_URL`, `READMISSION_API_TOKEN`."""

    model_config = SettingsConfigDict(env_prefix="READMISSION_API_", env_ignore_empty=True, frozen=True)

    url: str = Field(default="http://127.0.0.1:8000", description="Address of the inference API")
    token: SecretStr | None = Field(
        default=None, description="Its token for predictions and outcomes; unset: an open API needs none"
    )


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """One replay: `count` patients (0: until stopped), `rate` per second (0: as fast as the API responds).

    `delay` is the time in seconds between a prediction and its outcome, None for no outcomes; `positives` is
    the share of patients who came back within 30 days, None to keep it.
    """

    count: int = 1_000
    rate: float = 50.0
    seed: int = 1
    delay: float | None = 5.0
    shifts: tuple[str, ...] = ()
    positives: float | None = None

    def __post_init__(self) -> None:
        """Refuse meaningless numbers."""
        if self.count < 0 or self.rate < 0 or (self.delay or 0) < 0:
            raise ReplayError("--count, --rate and --delay cannot be below 0")
        if self.positives is not None and not 0 < self.positives < 1:
            raise ReplayError("--positives is a share between 0 and 1, for example 0.3")


def add_to(parser: argparse.ArgumentParser) -> None:
    """Add the options of a replay to its command."""
    usual = ReplayOptions()
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _SHIFTS
    parser.add_argument(
        "--count", type=int, default=usual.count, help="patients; 0: until stopped (%(default)s)"
    )
    parser.add_argument(
        "--rate", type=float, default=usual.rate, help="patients per second; 0: no limit (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=usual.seed, help="seed of the draw (%(default)s)")
    parser.add_argument(
        "--delay", type=float, default=usual.delay, help="seconds until an outcome follows (%(default)s)"
    )
    parser.add_argument("--no-outcomes", action="store_true", help="do not report outcomes")
    parser.add_argument("--shift", action="append", default=[], help="moves the population; see below")
    parser.add_argument("--positives", type=float, metavar="SHARE", help="share who came back within 30 days")


def given_by(arguments: argparse.Namespace) -> ReplayOptions:
    """Return the options of a replay. Raise `ReplayError` if they are not valid."""
    return ReplayOptions(
        count=arguments.count,
        rate=arguments.rate,
        seed=arguments.seed,
        delay=None if arguments.no_outcomes else arguments.delay,
        shifts=tuple(arguments.shift),
        positives=arguments.positives,
    )

"""What the pages say, in English and Spanish.

The words are in `en.toml` and `es.toml`, section by section with the same keys; a test holds them together.
"""

import tomllib
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Final, get_args

from readmission_ui.settings import Language

LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)
NAMES: Final[dict[Language, str]] = {"en": "English", "es": "Español"}


@cache
def words(language: Language) -> dict[str, str]:
    """Return every text of a language by `section.key`."""
    sections = tomllib.loads(files(__name__).joinpath(f"{language}.toml").read_text(encoding="utf-8"))
    return {f"{section}.{key}": text for section, texts in sections.items() for key, text in texts.items()}


@dataclass(frozen=True)
class Texts:
    """The pages' words and numbers in one language."""

    language: Language
    _words: dict[str, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_words", words(self.language))

    def __call__(self, key: str, **values: object) -> str:
        """Return the text of a key with its places filled in. KeyError where there is no such text."""
        return self._words[key].format(**values)

    def counted(self, key: str, count: int, **values: object) -> str:
        """Return the text of a key with its place `count` filled in; for one, the text of `key_one`."""
        return self(f"{key}_one" if count == 1 else key, count=self.number(count), **values)

    def number(self, value: float, digits: int = 0) -> str:
        """Return a number with the language's separators: 1,234.5 or 1.234,5; never a negative zero."""
        text = f"{value:z,.{digits}f}"
        return text.translate(str.maketrans(",.", ".,")) if self.language == "es" else text

    def percent(self, share: float, digits: int = 1) -> str:
        """Return a share, 0 to 1, as a percentage: 14.2% or 14,2 %."""
        space = "\N{NO-BREAK SPACE}" if self.language == "es" else ""
        return f"{self.number(100 * share, digits)}{space}%"

    def moment(self, moment: datetime) -> str:
        """Return a moment to the minute, in UTC."""
        pattern = "%d/%m/%Y %H:%M UTC" if self.language == "es" else "%Y-%m-%d %H:%M UTC"
        return f"{moment:{pattern}}"

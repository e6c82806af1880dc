"""The numbers that represent texts inside the graph, so that crossed keys are sums instead of strings.

Every text in a level table or a group of diagnoses has, together with its field, an id from 1; any other text
has id 0. A key of several parts has the code `id1 + id2 * base + id3 * base**2`, shifted so that no two keys
share a code: looking up one integer finds the row of a level, however many fields are crossed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from readmission_data.clean import icd9
from readmission_data.clean.encoding import Encoding
from readmission_data.clean.keys import CROSS, Form, Key, Part
from readmission_data.encounters.columns import MISSING
from readmission_data.errors import RegistryError

Int64Array = npt.NDArray[np.int64]

UNKNOWN: Final = 0

_LARGEST: Final = 2**63 - 1
_GROUPS: Final = (*icd9.GROUPS, MISSING)


@dataclass(frozen=True)
class KeyCodes:
    """Ids and codes of one encoding.

    `texts` are the fields whose whole values are looked up, `stems` those that are first cut at the point,
    `groups` those whose group is part of a key; `parts` is the order of a row's ids: texts, stems, groups.
    """

    encoding: Encoding

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The fields whose whole values are part of a key."""
        return self._fields(Form.VALUE)

    @cached_property
    def stems(self) -> tuple[str, ...]:
        """The fields whose stem (the part before the point) or group is part of a key."""
        return self._fields(Form.STEM, Form.GROUP)

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """The fields whose group is part of a key."""
        return self._fields(Form.GROUP)

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The meaning of each column of a row's ids."""
        return (
            *(Part(field, Form.VALUE) for field in self.texts),
            *(Part(field, Form.STEM) for field in self.stems),
            *(Part(field, Form.GROUP) for field in self.groups),
        )

    @cached_property
    def ids(self) -> dict[str, int]:
        """The id of each `field=text`."""
        known = {
            f"{part.field}={text}"
            for key, levels in zip(self.encoding.keys, self.encoding.levels, strict=True)
            for level in levels
            for part, text in zip(key.parts, level.split(CROSS), strict=True)
            if part.form is not Form.GROUP
        }
        for field in self.groups:
            known |= {f"{field}={stem}" for stem in (*icd9.GROUP_OF_STEM, MISSING)}
        return {text: number for number, text in enumerate(sorted(known), start=UNKNOWN + 1)}

    @cached_property
    def group_of_id(self) -> Int64Array:
        """The group's number [ids + 1] for the id of a stem; unknown stems belong to `other`."""
        numbers = np.full(len(self.ids) + 1, _GROUPS.index(icd9.OTHER) + 1)
        for text, number in self.ids.items():
            stem = text.partition("=")[2]
            group = MISSING if stem == MISSING else icd9.group(stem)
            numbers[number] = _GROUPS.index(group) + 1
        return numbers

    @cached_property
    def weights(self) -> Int64Array:
        """The weight of a part's id in the code of each key [parts, keys]."""
        column = {part: index for index, part in enumerate(self.parts)}
        weights = np.zeros((len(self.parts), len(self.encoding.keys)), dtype=np.int64)
        for number, key in enumerate(self.encoding.keys):
            for place, part in enumerate(key.parts):
                weights[column[part], number] += self._base**place
        return weights

    @cached_property
    def offsets(self) -> Int64Array:
        """The first code of each key [keys]. Raise `RegistryError` if the codes exceed 64 bits."""
        width = self._base ** max(len(key.parts) for key in self.encoding.keys)
        if width * len(self.encoding.keys) > _LARGEST:
            raise RegistryError("the encoding crosses too many fields at once for 64-bit codes")
        return np.array([number * width for number in range(len(self.encoding.keys))], dtype=np.int64)

    def codes(self) -> Int64Array:
        """Return the code of each level, key after key, in the order of the encoding's tables."""
        found: list[int] = []
        pairs = zip(self.encoding.keys, self.encoding.levels, self.offsets.tolist(), strict=True)
        for key, levels, offset in pairs:
            found += (offset + self._code(key, level.split(CROSS)) for level in levels)
        return np.array(found, dtype=np.int64)

    def _code(self, key: Key, texts: Iterable[str]) -> int:
        return sum(
            self._id(part, text) * self._base**place
            for place, (part, text) in enumerate(zip(key.parts, texts, strict=True))
        )

    def _id(self, part: Part, text: str) -> int:
        return _GROUPS.index(text) + 1 if part.form is Form.GROUP else self.ids[f"{part.field}={text}"]

    @property
    def _base(self) -> int:
        return max(len(self.ids), len(_GROUPS)) + 1

    def _fields(self, *forms: Form) -> tuple[str, ...]:
        named = {part.field for key in self.encoding.keys for part in key.parts if part.form in forms}
        return tuple(field for field in self.encoding.categorical if field in named)

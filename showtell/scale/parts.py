"""Parts of a job that machines do without knowing of each other: part 3 of 8, as in a SLURM array."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from showtell.errors import UsageError

_TEXT: Final = re.compile(r"(\d{1,9})/(\d{1,9})")


@dataclass(frozen=True)
class Part:
    """Part `number` of `count`, counted from 1: each `count`-th unit of a job, from unit `number` - 1 on.

    The units of a part depend on the list of units only, and every unit is in exactly one of the `count`
    parts.
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Part:
        """The part of a text such as `3/8`.

        Raises:
            UsageError: it is none.
        """
        match = _TEXT.fullmatch(text.strip())
        part = cls(int(match[1]), int(match[2])) if match else cls(0, 0)
        if not 1 <= part.number <= part.count:
            raise UsageError(f"--part {text}: not a part; give 1/8, 2/8, ... 8/8 for eight of them")
        return part

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def numbers(self, units: int) -> range:
        """Numbers, from 0, of this part's units of a job of `units` units."""
        return range(self.number - 1, units, self.count)


WHOLE: Final = Part(1, 1)
"""All units."""

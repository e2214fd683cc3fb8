"""Sentences in the report's language: each number that they hold is registered, and each source that they cite."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from evaluation.abstention import rounded_down

MINUS = "\u2212"


@dataclass(frozen=True)
class Number:
    """A number as it is shown, without sign and unit, and the record that it came from, as it stands there."""

    shown: str
    value: float


@dataclass
class Writer:
    """The language, the sources by key, and what was written so far: `numbers`, `names`, and the keys `cited`.

    Numbers are formatted here alone, so that a test can hold each of them against the records. A name, such as that of
    an architecture, may have digits of its own.
    """

    language: str
    sources: Mapping[str, str]
    numbers: list[Number] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    cited: list[str] = field(default_factory=list)

    def say(self, english: str, chinese: str) -> str:
        """Return the text in the report's language."""
        return chinese if self.language == "zh" else english

    def name(self, text: str) -> str:
        """Register a name, and return it."""
        self.names.append(text)
        return text

    def cite(self, *keys: str) -> str:
        """Return `[1], [2]`: the numbers of sources, in the order of their first citation."""
        for key in keys:
            if key not in self.sources:
                raise KeyError(f"no such reference: {key}")
            if key not in self.cited:
                self.cited.append(key)
        return ", ".join(f"[{self.cited.index(key) + 1}]" for key in keys)

    def references(self) -> list[str]:
        """Return the sources that were cited, in order."""
        return [self.sources[key] for key in self.cited]

    def count(self, value: float) -> str:
        """Return a whole number."""
        return self._registered(f"{round(value)}", value)

    def general(self, value: float) -> str:
        """Return a number with the digits that it has, as in a config, without a power of ten."""
        return self._registered(np.format_float_positional(float(f"{value:.6g}"), trim="-"), value)

    def decimal(self, value: float, digits: int, factor: float = 1.0) -> str:
        """Return `factor` times a value; the record holds the value."""
        return self._registered(f"{factor * value:.{digits}f}", value)

    def confidence(self, value: float) -> str:
        """Return a confidence from which answers are kept, rounded down."""
        return self._registered(rounded_down(value, 2), value)

    def percent(self, share: float, digits: int = 2) -> str:
        """Return a share as per cent."""
        return f"{self.decimal(share, digits, 100)}%"

    def points(self, share: float, digits: int = 2) -> str:
        """Return a difference of shares in percentage points, with its sign."""
        return self.signed(share, digits, 100)

    def signed(self, value: float, digits: int, factor: float = 1.0) -> str:
        """Return a number with its sign."""
        shown = f"{abs(factor * value):.{digits}f}"
        sign = "" if not float(shown) else MINUS if value < 0 else "+"
        return sign + self._registered(shown, value)

    def interval(self, bounds: Sequence[float], digits: int = 2) -> str:
        """Return an interval of shares in per cent."""
        low, high = (self.decimal(share, digits, 100) for share in bounds)
        return self.say(f"{low}–{high}%", f"{low}%–{high}%")

    def signed_interval(self, bounds: Sequence[float], digits: int = 2, factor: float = 100) -> str:
        """Return an interval of numbers with signs, by default of shares in points."""
        low, high = (self.signed(value, digits, factor) for value in bounds)
        return self.say(f"{low} to {high}", f"{low} 至 {high}")

    def share_with_interval(self, share: float, bounds: Sequence[float] | None) -> str:
        """Return a share with its interval in brackets, if it has one."""
        if bounds is None:
            return self.percent(share)
        return self.say(
            f"{self.percent(share)} ({self.interval(bounds)})", f"{self.percent(share)}（{self.interval(bounds)}）"
        )

    def listed(self, items: Sequence[str]) -> str:
        """Return `a, b and c`."""
        if self.language == "zh":
            # beside Latin letters the word for `and` would need spaces
            latin = any(item[:1].isascii() or item[-1:].isascii() for item in items[-2:])
            return "、".join(items) if latin or len(items) < 2 else f"{'、'.join(items[:-1])}和{items[-1]}"
        return ", ".join(items[:-1]) + (" and " if len(items) > 1 else "") + (items[-1] if items else "")

    def sentences(self, parts: Sequence[str]) -> str:
        """Join sentences that are not empty."""
        return self.say(" ", "").join(part for part in parts if part)

    def _registered(self, shown: str, value: float) -> str:
        self.numbers.append(Number(shown.lstrip("-"), float(value)))
        return shown.replace("-", MINUS) if shown.startswith("-") else shown

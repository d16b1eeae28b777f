"""Whether what must stay flat over many nights has stayed flat: the first third of them beside the last third."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import linear_regression, median
from typing import Any

FEWEST = 9
"""Nights that are judged: of fewer, a third says more of one night than of a year."""


@dataclass(frozen=True)
class Bound:
    """How much more the last third may have than the first.

    Attributes:
        share: Of what the first third has.
        more: As a number, beyond that.
        why: In words.
        grows: It may grow, and what is compared is by how much a night.
    """

    share: float
    more: float
    why: str
    grows: bool = False


BOUNDS: dict[str, Bound] = {
    "server MB": Bound(0.20, 0.0, "at most +20 %: it keeps connections and prepared queries"),
    "worker MB": Bound(0.20, 0.0, "at most +20 %: it keeps up to 1.7 MB of a run that crashed, and nothing of others"),
    "server files": Bound(0.0, 2.0, "at most 2 more: connections come and go"),
    "worker files": Bound(0.0, 2.0, "at most 2 more: connections come and go"),
    "temporary": Bound(0.0, 0.0, "none more"),
    "output": Bound(0.0, 0.0, "none more"),
    "database MB": Bound(0.50, 0.0, "at most +50 % in growth a night: runs are kept", grows=True),
}
"""By the name of the figure, with the reason."""


@dataclass(frozen=True)
class Trend:
    """How a figure went.

    Attributes:
        name: Of the figure.
        first: Median of the first third of the nights; of what may grow, the slope of the straight line through them.
        last: Likewise of the last third.
        slope: Of the straight line through all nights (least squares), a night.
    """

    name: str
    first: float
    last: float
    slope: float

    @property
    def limit(self) -> float:
        """What the last third may have."""
        bound = BOUNDS[self.name]
        return max(0.0, self.first) * (1 + bound.share) + bound.more

    @property
    def exceeds(self) -> bool:
        """Whether it is above its bound."""
        return self.last > self.limit

    def sentence(self) -> str:
        """What is wrong."""
        return (
            f"{self.name} is not flat: {self.first:g} in the first third of the nights, {self.last:g} in the last "
            f"({BOUNDS[self.name].why})"
        )


def trends(rows: Sequence[Mapping[str, Any]]) -> list[Trend]:
    """How each figure of `BOUNDS` went, from one row a night, in order."""
    third = max(1, len(rows) // 3)
    return [_trend(name, [float(row[name]) for row in rows], third) for name in BOUNDS]


def table(found: Sequence[Trend]) -> list[str]:
    """The trends as lines."""
    lines = [f"{'':<14}{'first third':>12}{'last third':>12}{'a night':>10}  bound"]
    for trend in found:
        figures = f"{trend.first:>12g}{trend.last:>12g}{trend.slope:>+10.3f}"
        lines.append(f"{trend.name:<14}{figures}  {BOUNDS[trend.name].why}")
    return lines


def judged(found: Sequence[Trend], nights: int) -> list[str]:
    """A sentence for each figure that is above its bound; none where the nights are too few to say."""
    return [trend.sentence() for trend in found if trend.exceeds] if nights >= FEWEST else []


def _trend(name: str, values: Sequence[float], third: int) -> Trend:
    of = _slope if BOUNDS[name].grows else median
    return Trend(name, of(values[:third]), of(values[-third:]), _slope(values))


def _slope(values: Sequence[float]) -> float:
    """A night; to a thousandth, which is finer than any figure is measured."""
    return round(linear_regression(range(len(values)), values).slope, 3) if len(values) > 1 else 0.0

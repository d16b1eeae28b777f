"""What lies between two trainings."""

from __future__ import annotations

from sarpipe.evaluate.estimate import Estimate


def verdict(difference: Estimate) -> str:
    """What the choice brings: ``better``, ``worse``, or ``not shown`` where the 95 % interval holds 0."""
    low, high = difference.interval
    return "better" if low > 0 else "worse" if high < 0 else "not shown"

"""Rounds: what is compared meets the same machine in each, one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable


def seconds_of(function: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def times_of(rounds: int, functions: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Seconds of each function in each round; the first round, unmeasured, warms up."""
    for function in functions.values():
        function()
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            times[name].append(seconds_of(function))
    return times

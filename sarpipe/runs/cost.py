"""What a run took: the seconds of its stages, and energy, measured or estimated."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sarpipe.runs.usage import ASSUMPTION


@dataclass(frozen=True)
class Cost:
    """What the stages of a run took that have ended.

    Attributes:
        run: The id of the run.
        data: The folder of its output, or its URL.
        stages: The lines of these stages in its log.
    """

    run: str
    data: str
    stages: Sequence[Mapping[str, Any]]

    def document(self) -> dict[str, Any]:
        """JSON-able. Joules that were read, and joules that are estimated of the stages of which none could be read:
        the two are of different stages. Null: of no stage.
        """
        return {
            "id": self.run,
            "energy_joules": _sum(self.stages, "energy_joules"),
            "energy_estimate_joules": _sum(self.stages, "energy_estimate_joules"),
        }

    def lines(self) -> list[str]:
        """As a person reads it; none where no stage has ended."""
        if not self.stages:
            return []
        took = ", ".join(f"{stage['stage']} {stage['seconds']:,.1f} s" for stage in self.stages)
        return [f"took:   {took}", energy(self.stages), f"'{self._shown()}' has more"]

    def markdown(self) -> str:
        """As a table of the stages, with the sum of their energy below it; empty where no stage has ended."""
        if not self.stages:
            return ""
        rows = [
            f"| {stage['stage']} | {stage['state']} | {stage['seconds']:,.1f} | {energy_of(stage)} |"
            for stage in self.stages
        ]
        head = ["| stage of this run | | seconds | energy |", "|---|---|---|---|"]
        return "\n".join([*head, *rows, "", f"{energy(self.stages)}. More: `{self._shown()}`"])

    def _shown(self) -> str:
        return shlex.join(["sarpipe", "runs", "show", self.run, "--data", self.data])


def energy_of(stage: Mapping[str, Any]) -> str:
    """The energy of a stage in words."""
    if stage["energy_joules"] is not None:
        return f"{_wh(stage['energy_joules'])} ({stage['energy_source']})"
    if stage["energy_estimate_joules"] is not None:
        return f"about {_wh(stage['energy_estimate_joules'])} (estimate)"
    return "energy not readable here"


def energy(stages: Sequence[Mapping[str, Any]]) -> str:
    """The energy of a run in words: what was measured, and apart from it what was estimated."""
    measured, guessed = _sum(stages, "energy_joules"), _sum(stages, "energy_estimate_joules")
    unknown = sum(stage["energy_joules"] is stage["energy_estimate_joules"] is None for stage in stages)
    words = [] if measured is None else [f"measured {_wh(measured)}"]
    words += [] if guessed is None else [f"not readable here; estimate {_wh(guessed)}: {ASSUMPTION}"]
    words += [f"not known of {unknown} stages"] if unknown else []
    return "energy: " + ("; ".join(words) or "no stage has ended")


def _sum(stages: Sequence[Mapping[str, Any]], what: str) -> float | None:
    known = [stage[what] for stage in stages if stage[what] is not None]
    return round(sum(known), 3) if known else None


def _wh(joules: float) -> str:
    return f"{joules / 3600:,.3g} Wh"

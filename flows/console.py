"""What a person sees: progress and a short summary, on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from rich.console import Console as RichConsole
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from sarpipe.runs.cost import Cost
from sarpipe.stages.step import Step

LOG_SECONDS = 30.0
_NAMED = 10
"""So many quarantined places are named on the screen; all of them are in the file."""


class Console:
    """Progress bars, one a stage, for the time of a ``with`` block."""

    def __init__(self) -> None:
        self._bars = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=RichConsole(stderr=True),
        )
        self._stages: dict[str, TaskID] = {}
        self._said = time.monotonic()

    def __enter__(self) -> Console:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._stages:
            self._bars.stop()

    def progress(self, stage: str, done: int, total: int, note: str) -> None:
        """Show how far a stage is; where no terminal shows bars, in a line every `LOG_SECONDS`."""
        # Started with the first bar: a display without any leaves an empty line.
        self._bars.start()
        if stage not in self._stages:
            self._stages[stage] = self._bars.add_task(stage, total=total, note="")
        self._bars.update(self._stages[stage], completed=done, total=total, note=note)
        if not self._bars.console.is_terminal and time.monotonic() - self._said >= LOG_SECONDS:
            self._said = time.monotonic()
            print(f"{stage} {done}/{total} {note}", file=sys.stderr, flush=True)


def print_plan(steps: Sequence[Step]) -> None:
    """The plan, a line a step."""
    console = RichConsole(stderr=True, highlight=False, soft_wrap=True)
    for step in steps:
        console.print(f"{step.state:<8} {step.stage:<10} {escape(step.name)}: {escape(step.why)}")
    done = sum(step.done for step in steps)
    console.print(f"{done} of {len(steps)} steps are done; nothing was changed (--dry-run)")


def print_lines(lines: Sequence[str]) -> None:
    """Lines of text as they are."""
    console = RichConsole(stderr=True, highlight=False, soft_wrap=True)
    for line in lines:
        console.print(escape(line))


def print_summary(summary: Mapping[str, Any], cost: Cost | None, seen_at: str) -> None:
    """What a run came to.

    Args:
        summary: From `sarpipe.stages.chain.summarise`.
        cost: What it took; None where that is not known.
        seen_at: How to see the run in the Prefect UI; empty where Prefect had no part.
    """
    print_lines([*_lines(summary), *(cost.lines() if cost else []), *([seen_at] if seen_at else [])])


def _lines(summary: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    if "units" in summary:
        places, units = summary["places"], summary["units"]
        embedded = f", {places['embedded']} embedded" if "embedded" in places else ""
        lines.append(f"places: {places['in']} read{embedded}, {places['quarantined']} quarantined")
        lines.append(
            f"units:  {units['reused']} reused, {units['computed']} computed, {units['refused']} refused, "
            f"{summary['seconds']['preprocess']:.1f} s"
        )
    if summary["stages"]:
        lines.append("stages: " + ", ".join(f"{stage} {how}" for stage, how in summary["stages"].items()))
    if summary["stages"].get("train") == "computed":
        training = summary["training"]
        resumed = f", gone on after step {training['resumed_from_step']}" if training["resumed_from_step"] else ""
        lines.append(f"training: {training['steps']} steps on {training['device']}{resumed}")
    if summary["stages"].get("embed") == "computed" and summary["energy"]:
        lines.append(_energy(summary["energy"]))
    lines += summary.get("claims", [])
    lines += _quarantined(summary)
    lines += [f"  {name:<20} {path}" for name, path in summary["outputs"].items()]
    return lines


def _energy(noted: Mapping[str, Any]) -> str:
    kwh = noted["energy_kwh"]
    energy = "energy not readable here" if kwh is None else f"{1e3 * kwh:.3g} Wh"
    device, seconds = noted["emb:energy"]["device_type"], noted["emb:energy"]["inference_duration_s"]
    return f"embedding: {noted['places_per_second']:.0f} places/s on {device}, {seconds:.1f} s, {energy}"


def _quarantined(summary: Mapping[str, Any]) -> list[str]:
    # Whole stores first: an empty id.
    rows = sorted(summary.get("quarantine", []), key=lambda row: bool(row["id"]))
    named = [(row["id"] or f"store {row['store']}", row) for row in rows[:_NAMED]]
    lines = [f"not used: {name} [{row['code']}]: {row['reason']}" for name, row in named]
    if len(rows) > _NAMED:
        lines.append(f"not used: {len(rows) - _NAMED} more, all in {summary['outputs']['quarantine']}")
    if rows:
        lines.append("'sarpipe quarantine' (with the same --data and --recipe) says how to look at these and try again")
    return lines

"""``sarpipe runs``: what ran on an output folder, what it took, and how two runs differ; straight, without Prefect."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sarpipe.errors import UsageError
from sarpipe.flows.console import print_lines
from sarpipe.runs.compare import Comparison, Pair, compare
from sarpipe.runs.cost import energy, energy_of
from sarpipe.runs.record import Record, find, folder_of, names, newest
from sarpipe.storage import address

_NAMED = 5
"""So many stores that differ are named on the screen; all of them are in the JSON."""


def run_runs(options: Namespace, data: Path) -> int:
    """List the runs; its exit code."""
    records = newest(data, options.n)
    if options.json:
        print(json.dumps({"status": "completed", "runs": [record.document() for record in records]}))
        return 0
    print_lines(_table([_row(record) for record in records]))
    print_lines([f"{len(records)} of {len(names(data))} runs, logged in {address(folder_of(data))}"])
    return 0


def run_show(options: Namespace, data: Path) -> int:
    """Show one run; its exit code."""
    record = find(data, options.run)
    if options.json:
        print(json.dumps({**record.document(), "status": "completed", "settings": record.header.get("settings"),
                          "versions": record.header.get("versions"), "units": list(record.units),
                          "stages": list(record.stages)}))  # fmt: skip
        return 0
    header = record.header
    print_lines(
        [
            f"run {record.id}, {_state(record)}",
            f"  {header.get('command')} {header.get('source') or ''} on {header.get('host')}, recipe "
            f"{header.get('recipe')}, preset {header.get('preset')}",
        ]
    )
    for stage in record.stages:
        print_lines(_stage(stage))
    print_lines([energy(record.stages)])
    not_made = [unit for unit in record.last_units().values() if unit["state"] in ("refused", "failed")]
    print_lines([f"{unit['state']}: {unit['name']}: {unit.get('reason', '')}{_code(unit)}" for unit in not_made])
    return 0


def run_compare(options: Namespace, data: Path) -> int:
    """Compare two runs; its exit code."""
    first, second = find(data, options.first), find(data, options.second)
    if first.id == second.id:
        raise UsageError(f"both are the run {first.id}", "Name two runs, as in 'sarpipe runs compare last-1 last'")
    found = compare(data, first, second)
    if options.json:
        print(json.dumps({"status": "completed", "runs": [first.id, second.id], **found.document()}))
        return 0
    print_lines([f"A  {first.id}, {_state(first)}", f"B  {second.id}, {_state(second)}", *_compared(found)])
    return 0


def _row(record: Record) -> list[str]:
    states = [str(stage["state"]) for stage in record.stages]
    return [
        record.id,
        str(record.header.get("command")),
        f"{record.header.get('recipe')}/{record.header.get('preset')}",
        f"{states.count('computed')} computed, {states.count('reused')} reused",
        f"{record.places:,} places",
        "" if record.seconds is None else f"{record.seconds:,.1f} s",
        _state(record),
    ]


def _state(record: Record) -> str:
    if record.state == "died":
        return "died: no end was written, and its process is gone"
    reason = "" if record.end is None else record.end["reason"]
    return f"{record.state}: {reason}{_code(record.end or {})}" if reason else record.state


def _code(line: Mapping[str, Any]) -> str:
    """The code of a line of a log; of an earlier version it may have none."""
    return f" [{line['error_code']}]" if line.get("error_code") else ""


def _stage(stage: Mapping[str, Any]) -> list[str]:
    units = ", ".join(f"{count} {state}" for state, count in stage["units"].items())
    rate = "" if stage["places_per_second"] is None else f", {stage['places_per_second']:,.3g} places/s"
    retries = f", {stage['retries']} tried again" if stage["retries"] else ""
    return [
        f"{stage['stage']:<10} {stage['state']}, {stage['seconds']:,.1f} s{rate}{retries}"
        + (f"; units: {units}" if units else ""),
        f"{'':<10} processor {stage['cpu_seconds']:,.1f} s, {stage['peak_memory_bytes'] / 1e6:,.0f} MB; "
        f"written {stage['written_bytes'] / 1e6:,.1f} MB; {energy_of(stage)}",
    ]


def _compared(found: Comparison) -> list[str]:
    inputs = found.inputs
    lines = [f"setting {name}: {_both(pair)}" for name, pair in found.settings.items()]
    lines += [f"version {name}: {_both(pair)}" for name, pair in found.versions.items()]
    for how in ("added", "removed", "changed"):
        if inputs[how]:
            lines.append(f"stores {how}: {len(inputs[how])}, {_few(inputs[how])}")
    lines += [f"input of {name}: {_both(pair)}" for name, pair in inputs["of stages"].items()]
    if not lines:
        lines.append("same settings, versions and inputs")
    rows = [["stage", "state", "seconds", "places/s", "energy, J", "artefact"]]
    for stage, fields in found.stages.items():
        made = found.artefacts.get(stage)
        rows.append(
            [
                stage,
                _both(fields["state"]),
                _both(fields["seconds"]),
                _both(fields["places_per_second"]),
                _both(fields["energy_joules"]),
                "" if made is None else _same(made),
            ]
        )
    lines += _table(rows)
    return lines + [f"{name}: {_figure(pair[0])} -> {_figure(pair[1])}" for name, pair in found.figures.items()]


def _same(made: Mapping[str, Any]) -> str:
    if None in made["digests"]:
        return "of one run alone"
    return "same bytes" if made["same"] else "differs"


def _both(pair: Pair) -> str:
    first, second = (_shown(value) for value in pair)
    return f"{first} -> {second}"


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    # Of a digest its beginning tells.
    text = str(value)
    return text[:12] if len(text) == 64 and text.isalnum() else text


def _figure(figure: Mapping[str, Any] | None) -> str:
    if figure is None or figure["value"] is None:
        return "not known"
    bounds = figure["interval"]
    between = f" [{bounds[0]:.3f}, {bounds[1]:.3f}]" if bounds and None not in bounds else ""
    return f"{figure['value']:.3f}{between}"


def _few(stores: Sequence[str]) -> str:
    return ", ".join(stores[:_NAMED]) + (", ..." if len(stores) > _NAMED else "")


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]

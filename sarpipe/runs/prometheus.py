"""Metrics of the runs for Prometheus: a file for the textfile collector of node_exporter, one a command and settings.

The text format 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats. Counters go on from run to run;
gauges tell of the last run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from sarpipe.runs.record import Record, folder_of
from sarpipe.runs.usage import ASSUMPTION
from sarpipe.settings import Settings
from sarpipe.storage import address, read_small, write_small
from sarpipe.storage.lock import exclusive

_METRICS = {
    "sarpipe_runs_total": ("counter", "Runs that have ended, by how."),
    "sarpipe_units_total": ("counter", "Units that have ended, by how: reused is a hit of the cache."),
    "sarpipe_refused_total": ("counter", "Stores refused, by code."),
    "sarpipe_places_total": ("counter", "Places computed."),
    "sarpipe_retries_total": ("counter", "Units that were tried again, each time counted."),
    "sarpipe_read_bytes_total": ("counter", "Bytes of stores read for units that were computed."),
    "sarpipe_written_bytes_total": ("counter", "Bytes of artefacts written."),
    "sarpipe_run_success": ("gauge", "Whether the last run has completed."),
    "sarpipe_run_seconds": ("gauge", "Duration of the last run."),
    "sarpipe_run_start_timestamp_seconds": ("gauge", "When the last run began, Unix time."),
    "sarpipe_run_end_timestamp_seconds": ("gauge", "When the last run ended, Unix time."),
    "sarpipe_stage_seconds": ("gauge", "Duration of the stage in the last run."),
    "sarpipe_stage_busy_seconds": ("gauge", "Seconds that workers worked on units, all together."),
    "sarpipe_stage_queue_seconds": ("gauge", "Mean time that a computed unit waited for a worker."),
    "sarpipe_stage_cpu_seconds": ("gauge", "Processor seconds of the process and of its units on workers."),
    "sarpipe_stage_places": ("gauge", "Places of what the stage came to."),
    "sarpipe_stage_quarantined_places": ("gauge", "Places of the units that are in quarantine."),
    "sarpipe_stage_quarantine_entries": ("gauge", "Places in quarantine and stores refused, of the set, by code."),
    "sarpipe_stage_refused": ("gauge", "Stores that the stage has refused in the last run."),
    "sarpipe_stage_places_per_second": ("gauge", "Places computed a second of the stage."),
    "sarpipe_stage_peak_memory_bytes": ("gauge", "Largest resident memory of the process so far."),
    "sarpipe_stage_worker_peak_memory_bytes": ("gauge", "Largest resident memory of any worker process."),
    "sarpipe_stage_energy_joules": ("gauge", "Energy that was read from the machine's counters (RAPL, NVML)."),
    "sarpipe_stage_energy_estimate_joules": ("gauge", f"An estimate, not measured: {ASSUMPTION}."),
}
_GAUGES = {
    "sarpipe_stage_seconds": "seconds",
    "sarpipe_stage_busy_seconds": "busy_seconds",
    "sarpipe_stage_queue_seconds": "queue_seconds",
    "sarpipe_stage_cpu_seconds": "cpu_seconds",
    "sarpipe_stage_places": "places",
    "sarpipe_stage_quarantined_places": "quarantined",
    "sarpipe_stage_places_per_second": "places_per_second",
    "sarpipe_stage_peak_memory_bytes": "peak_memory_bytes",
    "sarpipe_stage_worker_peak_memory_bytes": "worker_peak_memory_bytes",
    "sarpipe_stage_energy_joules": "energy_joules",
    "sarpipe_stage_energy_estimate_joules": "energy_estimate_joules",
}
_COUNTERS = {
    "sarpipe_places_total": "places_computed",
    "sarpipe_retries_total": "retries",
    "sarpipe_read_bytes_total": "read_bytes",
    "sarpipe_written_bytes_total": "written_bytes",
}
_SAMPLE = re.compile(r"(\w+)(\{.*\}) (\S+)")

Samples = dict[tuple[str, str], float]
"""Name and labels to value."""


def write_metrics(settings: Settings, record: Record) -> None:
    """Bring ``runs/COMMAND-RECIPE-PRESET.prom`` up to date with a run that has ended."""
    header = record.header
    path = folder_of(settings.data) / f"{header['command']}-{header['recipe']}-{header['preset']}.prom"
    common = {name: str(header[name]) for name in ("command", "recipe", "preset")} | {"data": address(settings.data)}
    with exclusive(path):
        try:
            before = _counters(read_small(path).decode(errors="replace"))
        except FileNotFoundError:
            before = {}
        for (name, labels), value in _counted(record, common):
            before[name, labels] = before.get((name, labels), 0.0) + value
        write_small(path, _text(before | dict(_gauges(record, common))).encode())


def _counters(text: str) -> Samples:
    """The counters of a file that was written before; one that cannot be read begins at 0 again."""
    found = {}
    for line in text.splitlines():
        sample = _SAMPLE.fullmatch(line)
        if sample and _METRICS.get(sample[1], ("",))[0] == "counter":
            try:
                found[sample[1], sample[2]] = float(sample[3])
            except ValueError:
                continue
    return found


def _counted(record: Record, common: Mapping[str, str]) -> Iterator[tuple[tuple[str, str], float]]:
    yield ("sarpipe_runs_total", _labels(common, state=record.state)), 1.0
    for stage in record.stages:
        name = str(stage["stage"])
        units = stage["units"] or {str(stage["state"]): 1}
        for state, count in units.items():
            yield ("sarpipe_units_total", _labels(common, stage=name, state=state)), float(count)
        for code, count in stage["refused"].items():
            yield ("sarpipe_refused_total", _labels(common, stage=name, code=code)), float(count)
        for metric, field in _COUNTERS.items():
            yield (metric, _labels(common, stage=name)), float(stage[field])


def _gauges(record: Record, common: Mapping[str, str]) -> Iterator[tuple[tuple[str, str], float]]:
    if record.end is not None:
        labels = _labels(common)
        yield ("sarpipe_run_success", labels), float(record.state == "completed")
        yield ("sarpipe_run_seconds", labels), float(record.end["seconds"])
        yield ("sarpipe_run_start_timestamp_seconds", labels), _unix(record.header["time"])
        yield ("sarpipe_run_end_timestamp_seconds", labels), _unix(record.end["time"])
    for stage in record.stages:
        for code, count in stage["quarantine"].items():
            labels = _labels(common, stage=str(stage["stage"]), code=code)
            yield ("sarpipe_stage_quarantine_entries", labels), float(count)
        if stage["units"]:
            yield (
                ("sarpipe_stage_refused", _labels(common, stage=str(stage["stage"]))),
                float(sum(stage["refused"].values())),
            )
        for metric, field in _GAUGES.items():
            if stage[field] is not None:
                yield (metric, _labels(common, stage=str(stage["stage"]))), float(stage[field])


def _text(samples: Samples) -> str:
    lines = []
    for name, (kind, about) in _METRICS.items():
        of = sorted((labels, value) for (metric, labels), value in samples.items() if metric == name)
        if of:
            lines += [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
            lines += [f"{name}{labels} {value!r}" for labels, value in of]
    return "\n".join(lines) + "\n"


def _labels(common: Mapping[str, str], **more: str) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in {**common, **more}.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _unix(time: Any) -> float:
    return datetime.fromisoformat(str(time)).timestamp()

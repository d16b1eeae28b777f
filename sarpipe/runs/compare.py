"""Two runs side by side: what differs in settings, versions and inputs, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sarpipe.errors import SarpipeError
from sarpipe.runs.record import Record
from sarpipe.settings import flat
from sarpipe.storage import digest_json, read_small

_OWN = "sarpipe"
"""The method of an evaluation that is the run's own; the others are its baselines."""
_FIGURES = {
    "mean R2": ("mean_r2",),
    "recall@1, another corner": ("displaced_retrieval", "recall_at_1"),
    "MRR, another corner": ("displaced_retrieval", "mrr"),
    "recall@1": ("retrieval", "recall_at_1"),
    "MRR": ("retrieval", "mrr"),
    "RankMe": ("rankme",),
}

Pair = tuple[Any, Any]
"""A value of the first run and of the second; None where one has none."""


@dataclass(frozen=True)
class Comparison:
    """What two runs have in common, and what not.

    Attributes:
        settings: Dotted name to both values, where they differ; with command, source and device-like options.
        versions: Of Python, libraries and each stage's code, where they differ.
        inputs: ``added``, ``removed``, ``changed`` stores, ``same`` a number; and inputs of stages that differ.
        stages: Stage to ``{"state", "seconds", "places_per_second", "energy_joules", "energy_estimate_joules"}``.
        figures: Figure of the evaluation to both, each ``{"value", "interval"}`` or None.
        artefacts: Stage to both digests, and whether they are the same.
    """

    settings: Mapping[str, Pair]
    versions: Mapping[str, Pair]
    inputs: Mapping[str, Any]
    stages: Mapping[str, Mapping[str, Pair]]
    figures: Mapping[str, Pair]
    artefacts: Mapping[str, Mapping[str, Any]]

    def document(self) -> dict[str, Any]:
        """JSON-able."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def compare(data: Path, first: Record, second: Record) -> Comparison:
    """Compare two runs on one output folder, by their logs and by the evaluations that are still there."""
    stages = _paired(_stages(first), _stages(second))
    shown = ("state", "seconds", "places_per_second", "energy_joules", "energy_estimate_joules")
    return Comparison(
        settings=_differing(_settings(first), _settings(second)),
        versions=_differing(_versions(first), _versions(second)),
        inputs=_inputs(first, second),
        stages={
            name: {field: tuple(_field(one, field) for one in both) for field in shown} for name, both in stages.items()
        },
        figures=_figures(data, stages.get("evaluate", (None, None))),
        artefacts={
            name: _artefact(*both) for name, both in stages.items() if any(_field(one, "digest") for one in both)
        },
    )


def _stages(record: Record) -> dict[str, Mapping[str, Any]]:
    return {str(stage["stage"]): stage for stage in record.stages}


def _settings(record: Record) -> dict[str, Any]:
    given = {name: record.header.get(name) for name in ("command", "source")}
    return given | flat(record.header.get("settings", {}))


def _versions(record: Record) -> dict[str, Any]:
    codes = {f"code of {name}": stage["code"] for name, stage in _stages(record).items() if stage.get("code")}
    return {**record.header.get("versions", {}), **codes}


def _inputs(first: Record, second: Record) -> dict[str, Any]:
    before, after = ({name: unit.get("input") for name, unit in one.last_units().items()} for one in (first, second))
    found: dict[str, Any] = {
        "added": sorted(after.keys() - before.keys()),
        "removed": sorted(before.keys() - after.keys()),
        "changed": sorted(name for name in before.keys() & after.keys() if before[name] != after[name]),
        "same": sum(before[name] == after[name] for name in before.keys() & after.keys()),
    }
    made_from = (
        {f"{name}: {what}": digest for name, stage in _stages(one).items() for what, digest in _of(stage).items()}
        for one in (first, second)
    )
    return found | {"of stages": _differing(*made_from)}


def _of(stage: Mapping[str, Any]) -> Mapping[str, Any]:
    return stage.get("inputs") or {}


def _figures(data: Path, both: tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]) -> dict[str, Pair]:
    methods = [_method(data, stage) for stage in both]
    found = {label: tuple(_figure(method, path) for method in methods) for label, path in _FIGURES.items()}
    return {label: (pair[0], pair[1]) for label, pair in found.items() if any(one is not None for one in pair)}


def _method(data: Path, stage: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The figures of the run's own embeddings; none where the evaluation is gone, or another by now."""
    if stage is None or not stage.get("folder"):
        return {}
    with suppress(FileNotFoundError, NotADirectoryError, SarpipeError, ValueError, KeyError, TypeError):
        folder = data / stage["folder"]
        manifest = json.loads(read_small(folder / "manifest.json"))
        if digest_json(manifest["files"]) == stage["digest"]:
            method: Mapping[str, Any] = json.loads(read_small(folder / "figures.json"))["methods"][_OWN]
            return method
    return {}


def _figure(method: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any] | None:
    found: Any = method
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    if isinstance(found, Mapping):
        return {"value": found.get("value"), "interval": found.get("interval")}
    return None if found is None else {"value": found, "interval": None}


def _artefact(first: Mapping[str, Any] | None, second: Mapping[str, Any] | None) -> dict[str, Any]:
    digests = _field(first, "digest"), _field(second, "digest")
    return {"same": digests[0] == digests[1], "digests": digests}


def _field(stage: Mapping[str, Any] | None, name: str) -> Any:
    return None if stage is None else stage.get(name)


def _differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Pair]:
    return {name: pair for name, pair in _paired(first, second).items() if pair[0] != pair[1]}


def _paired(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Pair]:
    return {name: (first.get(name), second.get(name)) for name in dict.fromkeys((*first, *second))}

"""The account of the places: none is lost and none is made up from one stage to the next."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sarpipe.codes import Code
from sarpipe.errors import DamagedError
from sarpipe.storage import Artefact


def check_unit(unit: Artefact) -> None:
    """Every place of a store has a cube, frames and a row of the index, or is in quarantine.

    Raises:
        DamagedError: It does not come out.
    """
    places = json.loads(unit.path("unit.json").read_bytes())["places"]
    kept, quarantined = (_rows(unit.path(name)) for name in ("index.parquet", "quarantine.parquet"))
    arrays = {name: _length(unit.path(name)) for name in ("cubes.npy", "frames.npy")}
    if "truth.parquet" in unit.files:
        arrays["truth.parquet"] = _rows(unit.path("truth.parquet"))
    uneven = any(rows != kept for rows in arrays.values())
    if places != kept + quarantined or uneven:
        held = ", ".join(f"{name} {rows}" for name, rows in arrays.items())
        _lost(
            "preprocess",
            f"{unit.folder} read {places} places: {kept} in its index, {quarantined} in quarantine; {held}",
        )


def check_set(counts: dict[str, int], ids: Sequence[str]) -> None:
    """Every place of every unit is in the set, once, or in quarantine.

    Raises:
        DamagedError: It does not come out.
    """
    went_in, kept, quarantined = (counts[f"places_{name}"] for name in ("in", "kept", "quarantined"))
    if went_in != kept + quarantined or kept != len(ids):
        _lost("preprocess", f"of {went_in} places {len(ids)} are in the set and {quarantined} in quarantine")
    _check_unique("preprocess", ids)


def check_trained(model: Artefact, kept: int) -> None:
    """A model was trained on all places that were kept.

    Raises:
        DamagedError: It was on more or fewer.
    """
    trained = json.loads(model.path("training.json").read_bytes())["places"]
    if trained != kept:
        _lost("train", f"model {model.folder} was trained on {trained} places, and {kept} were kept")


def check_embedded(kept: Sequence[str], ids: Sequence[str], vectors: NDArray[np.float32]) -> None:
    """Every place that was kept has one embedding of finite numbers.

    Raises:
        DamagedError: One has none, or something else has one.
    """
    _check_unique("embed", ids)
    differing = sorted(set(kept) ^ set(ids))
    if differing or len(vectors) != len(ids):
        first = f", the first that differs is {differing[0]!r}" if differing else ""
        _lost("embed", f"{len(kept)} places were kept, and {len(vectors)} vectors are of {len(ids)} places{first}")
    if not np.isfinite(vectors).all():
        bad = ids[int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])]
        _lost("embed", f"the embedding of {bad!r} is not finite")


def check_evaluated(kept: int, measured: int) -> None:
    """The figures are of all places that were kept.

    Raises:
        DamagedError: They are of more or fewer.
    """
    if kept != measured:
        _lost("evaluate", f"the figures are of {measured} places, and {kept} were kept")


def _check_unique(stage: str, ids: Sequence[str]) -> None:
    if len(set(ids)) != len(ids):
        again, _ = Counter(ids).most_common(1)[0]
        _lost(stage, f"the id {again!r} stands more than once")


def _lost(stage: str, what: str) -> None:
    raise DamagedError(
        f"stage {stage}: the account of the places does not come out: {what}",
        "Run it again with --force; if it says so again, report it as a defect of sarpipe",
        code=Code.ACCOUNT,
    )


def _rows(path: Path) -> int:
    return int(pq.read_metadata(path).num_rows)


def _length(path: Path) -> int:
    return len(np.load(path, mmap_mode="r", allow_pickle=False))

"""Stage evaluate: how good the embeddings are, beside baselines."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sarpipe.errors import DamagedError, UsageError
from sarpipe.settings import Settings
from sarpipe.stages.places import cubes_digest, load_cubes
from sarpipe.stages.step import Receipt, Step, make, plan_step, receipt
from sarpipe.storage import Artefact

if TYPE_CHECKING:
    from sarpipe.cubes import CubeSet
    from sarpipe.evaluate.encoded import Encode
    from sarpipe.evaluate.labels import Labels

CODE = (
    "channels.py",
    "checksums.py",
    "cubes.py",
    "model",
    "evaluate",
    "embeddings",
    "preprocess/kernel.c",
    "preprocess/kernel.py",
    "preprocess/temporal.py",
    "memory.py",
    "sphere.py",
    "standard.py",
    "stages/places.py",
    "stages/evaluate.py",
)
_COMPARED = 64
"""Exported vectors that are compared with what the model makes: those of the first place and the last, and between."""
_TOLERANCE = 1e-3
"""Of their length: on another device sums of float32 are taken in another order, and differ far less."""
SEED = 0
"""The first of the random-weights encoders, the folds and the bootstrap."""

_OWN = (
    "the encoder has learnt from these very places, without labels, and so have the baselines that learn: what it "
    "gives for places that it has not seen is measured by 'sarpipe run OTHER --model' and 'sarpipe study --held-out'"
)
_FOREIGN = (
    "the model was trained on other cubes; the baselines that learn have learnt from these, which is in their favour"
)


class EvaluationReceipt(Receipt):
    """What is known of the evaluation: its claims, in words."""

    claims: list[str]


def plan_evaluate(
    settings: Settings, cube_set: Artefact, model: Artefact, embeddings: Artefact, *, force: bool = False
) -> Step:
    """The step that measures these embeddings and their baselines.

    Raises:
        UsageError: The labels of the settings are not there.
    """
    from sarpipe.evaluate.labels import labels_digest

    labels = {} if settings.labels is None else {"labels": labels_digest(settings.labels)}
    return plan_step(
        "evaluate",
        settings.train.preset,
        settings.data / "reports",
        inputs={"cubes": cubes_digest(cube_set), "model": model.digest, "embeddings": embeddings.digest, **labels},
        settings={"seed": SEED},
        code=CODE,
        force=force,
        label="evaluation",
    )


def make_evaluation(
    step: Step,
    settings: Settings,
    cube_set: Artefact,
    model: Artefact,
    embeddings: Artefact,
    on_measure: Callable[[str], None] | None = None,
) -> EvaluationReceipt:
    """Measure: ``figures.json``, as `sarpipe.evaluate.evaluate` gives it; and ``labels.parquet``, the labels of the
    places, where labels were given.

    Raises:
        DamagedError: The model does not make these embeddings of these cubes, so the figures would not be theirs.
    """
    started = time.monotonic()
    artefact, computed = make(step, lambda folder: _evaluate(folder, settings, cube_set, model, embeddings, on_measure))
    figures = json.loads(artefact.path("figures.json").read_bytes())
    return {
        **receipt(step, artefact, computed=computed, seconds=time.monotonic() - started),
        "claims": figures["claims"],
    }


def _evaluate(
    folder: Path,
    settings: Settings,
    cube_set: Artefact,
    model: Artefact,
    embeddings: Artefact,
    on_measure: Callable[[str], None] | None,
) -> None:
    from sarpipe.evaluate import evaluate
    from sarpipe.evaluate.labels import LABELS, read_labels, together
    from sarpipe.evaluate.perturbation import perturbations
    from sarpipe.evaluate.score import SEEDS
    from sarpipe.model.extract import embed
    from sarpipe.model.initial import random_encoder
    from sarpipe.model.weights import load_encoder

    labels = [] if settings.labels is None else read_labels(settings.labels)
    places = load_cubes(cube_set)
    _check_known(labels, places.ids)
    trained = load_encoder(model.folder)
    untrained = [
        partial(embed, random_encoder(trained, places.cubes, seed=SEED + number), device=settings.device)
        for number in range(SEEDS)
    ]
    encode = partial(embed, trained, device=settings.device)
    _check_shipped(embeddings, places, encode)
    if labels:
        together(labels, places.ids).to_parquet(folder / LABELS, index=False)
    figures = evaluate(
        places,
        encode,
        untrained[0],
        more_random=untrained[1:],
        labels=labels,
        disturb=perturbations(),
        seed=SEED,
        device=settings.device,
        progress=on_measure,
    )
    figures["notes"].insert(0, _OWN if model.meta["inputs"].get("cubes") == cubes_digest(cube_set) else _FOREIGN)
    text = json.dumps(figures, indent=1, sort_keys=True, allow_nan=False)
    (folder / "figures.json").write_text(text + "\n", encoding="utf-8")


def _check_known(labels: Sequence[Labels], ids: Sequence[str]) -> None:
    """See that every file of labels is of some of the places: minutes are not spent on what says nothing of them."""
    for one in labels:
        if not one.table["id"].isin(ids).any():
            raise UsageError(
                f"no id of {one.name} is of one of these {len(ids):,} places: theirs look like {ids[0]!r}, "
                f"the labels' like {one.table['id'].iloc[0]!r}",
                "Write ids as text, with their zeros",
            )


def _check_shipped(embeddings: Artefact, places: CubeSet, encode: Encode) -> None:
    """See that what is measured is what users are given: some of the exported vectors, made anew."""
    import numpy as np

    from sarpipe.embeddings.geoparquet import read_geoparquet

    table = read_geoparquet(embeddings.path("embeddings.parquet"))
    rows = np.unique(np.linspace(0, len(places.ids) - 1, _COMPARED).astype(np.intp))
    row_of = {place: row for row, place in enumerate(table.ids)}
    shipped = table.vectors[[row_of[places.ids[row]] for row in rows]]
    gap = np.linalg.norm(encode(places.cubes[rows]) - shipped, axis=1) / np.linalg.norm(shipped, axis=1)
    worst = int(gap.argmax())
    if gap[worst] > _TOLERANCE:
        raise DamagedError(
            f"the embedding of {places.ids[rows[worst]]!r} in {embeddings.folder} differs by {gap[worst]:.2%} of its "
            "length from what the model makes of its cube",
            "Run 'sarpipe embed --force', then evaluate again",
        )

"""Stage evaluate: how good the embeddings are, beside baselines."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sarpipe.settings import Settings
from sarpipe.stages.places import cubes_digest, load_cubes
from sarpipe.stages.step import Receipt, Step, make, plan_step, receipt
from sarpipe.storage import Artefact

CODE = (
    "channels.py",
    "cubes.py",
    "model",
    "evaluate",
    "embeddings/forms",
    "preprocess/kernel.c",
    "preprocess/kernel.py",
    "preprocess/temporal.py",
    "memory.py",
    "sphere.py",
    "standard.py",
    "stages/places.py",
    "stages/evaluate.py",
)
SEED = 0
"""The first of the random-weights encoders, the folds and the bootstrap."""

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
    on_measure: Callable[[str], None] | None = None,
) -> EvaluationReceipt:
    """Measure: ``figures.json``, as `sarpipe.evaluate.evaluate` gives it."""
    started = time.monotonic()
    artefact, computed = make(step, lambda folder: _evaluate(folder, settings, cube_set, model, on_measure))
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
    on_measure: Callable[[str], None] | None,
) -> None:
    from sarpipe.evaluate import evaluate
    from sarpipe.evaluate.labels import read_labels
    from sarpipe.evaluate.perturbation import perturbations
    from sarpipe.evaluate.score import SEEDS
    from sarpipe.model.extract import embed
    from sarpipe.model.initial import random_encoder
    from sarpipe.model.weights import load_encoder

    places = load_cubes(cube_set)
    trained = load_encoder(model.folder)
    untrained = [
        partial(embed, random_encoder(trained, places.cubes, seed=SEED + number), device=settings.device)
        for number in range(SEEDS)
    ]
    figures = evaluate(
        places,
        partial(embed, trained, device=settings.device),
        untrained[0],
        more_random=untrained[1:],
        labels=[] if settings.labels is None else read_labels(settings.labels),
        disturb=perturbations(),
        seed=SEED,
        device=settings.device,
        progress=on_measure,
    )
    if model.meta["inputs"].get("cubes") != cubes_digest(cube_set):
        figures["notes"].insert(0, _FOREIGN)
    text = json.dumps(figures, indent=1, sort_keys=True, allow_nan=False)
    (folder / "figures.json").write_text(text + "\n", encoding="utf-8")

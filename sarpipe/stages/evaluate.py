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
"""Of the random-weights encoder, the folds and the bootstrap."""


class EvaluationReceipt(Receipt):
    """What is known of the evaluation: its claims, in words."""

    claims: list[str]


def plan_evaluate(
    settings: Settings, cube_set: Artefact, model: Artefact, embeddings: Artefact, *, force: bool = False
) -> Step:
    """The step that measures these embeddings and their baselines."""
    return plan_step(
        "evaluate",
        settings.train.preset,
        settings.data / "reports",
        inputs={"cubes": cubes_digest(cube_set), "model": model.digest, "embeddings": embeddings.digest},
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
    from sarpipe.model.extract import embed
    from sarpipe.model.initial import random_encoder
    from sarpipe.model.weights import load_encoder

    places = load_cubes(cube_set)
    trained = load_encoder(model.folder)
    untrained = random_encoder(trained, places.cubes, seed=SEED)
    figures = evaluate(
        places,
        partial(embed, trained, device=settings.device),
        partial(embed, untrained, device=settings.device),
        seed=SEED,
        device=settings.device,
        progress=on_measure,
    )
    text = json.dumps(figures, indent=1, sort_keys=True, allow_nan=False)
    (folder / "figures.json").write_text(text + "\n", encoding="utf-8")

"""The study: trainings with one choice put back, for several seeds, beside the default."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sarpipe.errors import DataError
from sarpipe.evaluate.estimate import Estimate
from sarpipe.evaluate.score import MEASURES, score
from sarpipe.settings import Settings
from sarpipe.stages.evaluate import CODE as EVALUATION
from sarpipe.stages.evaluate import SEED
from sarpipe.stages.places import cubes_digest, load_cubes
from sarpipe.stages.step import Step, make, plan_step, require
from sarpipe.stages.train import OnStep, make_model, plan_train
from sarpipe.storage import Artefact
from sarpipe.study.choices import Choice, without
from sarpipe.study.paired import over_seeds, verdict

CODE = ("study", "stages/study.py")
SCORE = "score.json"

OnTraining = Callable[[int, int, str], None]
"""Called with the trainings that are done, all of them, and what is under way."""


def plan_study(settings: Settings, cube_set: Artefact, choices: Sequence[Choice], seeds: int) -> list[Step]:
    """The trainings of a study: the default and each choice put back, for each seed. What is there is kept."""
    return [plan_train(variant, cube_set) for variant in _variants(settings, choices, seeds)]


def make_study(
    settings: Settings, cube_set: Artefact, choices: Sequence[Choice], seeds: int, on_training: OnTraining
) -> tuple[Path, dict[str, Any]]:
    """Train and measure what is not there, and put it together: ``study.json`` and ``study.md``.

    Models and scores are artefacts of their own: a study that was broken off goes on, and one of more choices or seeds
    makes only those.

    Args:
        settings: Of the default.
        cube_set: The places.
        choices: To be put back.
        seeds: 0 to this, not included, in place of the settings' seed.
        on_training: For progress.

    Returns:
        The folder, and what ``study.json`` holds.

    Raises:
        TrainingError: A training failed.
        DataError: There is nothing to measure.
    """
    variants = _variants(settings, choices, seeds)
    names = [f"{name}, seed {seed}" for name in ("default", *(c.name for c in choices)) for seed in range(seeds)]
    scores: list[Artefact] = []
    for number, (variant, name) in enumerate(zip(variants, names, strict=True)):
        say = partial(on_training, number, len(variants))
        say(name)
        scores.append(_scored(variant, cube_set, _on_step(say, name)))
    on_training(len(variants), len(variants), "done")
    step = plan_step(
        "study",
        settings.train.preset,
        settings.data / "reports",
        inputs={"cubes": cubes_digest(cube_set), "scores": [artefact.digest for artefact in scores]},
        settings={"choices": [choice.name for choice in choices], "seeds": seeds},
        code=CODE,
        label="study",
    )
    artefact, _ = make(step, lambda folder: _write(folder, settings, choices, _by_variant(scores, seeds)))
    return artefact.folder, json.loads(artefact.path("study.json").read_bytes())


def _variants(settings: Settings, choices: Sequence[Choice], seeds: int) -> list[Settings]:
    """For the default and each choice, the settings of each seed."""
    trains = [settings.train, *(without(choice, settings.train) for choice in choices)]
    return [
        settings.model_copy(update={"train": train.model_copy(update={"seed": seed})})
        for train in trains
        for seed in range(seeds)
    ]


def _on_step(say: Callable[[str], None], name: str) -> OnStep:
    return lambda step, steps, loss: say(f"{name}: step {step} of {steps}, loss {loss:.3f}")


def _scored(settings: Settings, cube_set: Artefact, on_step: OnStep) -> Artefact:
    """The scores of one training, which is made first if it is not there."""
    make_model(plan_train(settings, cube_set), settings, cube_set, on_step)
    model = require(plan_train(settings, cube_set), "sarpipe study")
    step = plan_step(
        "study",
        settings.train.preset,
        settings.data / "scores",
        inputs={"cubes": cubes_digest(cube_set), "model": model.digest},
        settings={"seed": SEED},
        code=(*EVALUATION, "stages/study.py"),
        label="score",
    )
    return make(step, lambda folder: _write_score(folder, settings, cube_set, model))[0]


def _write_score(folder: Path, settings: Settings, cube_set: Artefact, model: Artefact) -> None:
    from sarpipe.model.extract import embed
    from sarpipe.model.weights import load_encoder

    encode = partial(embed, load_encoder(model.folder), device=settings.device)
    found = score(load_cubes(cube_set), encode, seed=SEED)
    if not found:
        raise DataError("there is neither truth nor a second date to measure a training by", "Study a larger set")
    document = {name: {"value": e.value, "samples": e.samples.tolist()} for name, e in found.items()}
    (folder / SCORE).write_text(json.dumps(document, allow_nan=False) + "\n", encoding="utf-8")


def _by_variant(scores: Sequence[Artefact], seeds: int) -> list[list[dict[str, Estimate]]]:
    """For each variant the scores of its seeds."""
    read = [_read_score(artefact) for artefact in scores]
    return [read[start : start + seeds] for start in range(0, len(read), seeds)]


def _read_score(artefact: Artefact) -> dict[str, Estimate]:
    document = json.loads(artefact.path(SCORE).read_bytes())
    return {name: Estimate(entry["value"], np.array(entry["samples"])) for name, entry in document.items()}


def _write(
    folder: Path, settings: Settings, choices: Sequence[Choice], scores: Sequence[Sequence[Mapping[str, Estimate]]]
) -> None:
    measures = [name for name in MEASURES if name in scores[0][0]]
    default = {name: over_seeds([one[name] for one in scores[0]]) for name in measures}
    rows = [
        {
            "choice": choice.name,
            "instead": choice.instead,
            "measures": {name: _row(default[name], scores[0], variant, name) for name in measures},
        }
        for choice, variant in zip(choices, scores[1:], strict=True)
    ]
    document = {
        "seeds": len(scores[0]),
        "train": settings.train.model_dump(mode="json", exclude={"seed"}),
        "default": {name: {**default[name].as_json(), "seeds": _values(scores[0], name)} for name in measures},
        "choices": rows,
    }
    text = json.dumps(document, indent=1, sort_keys=True, allow_nan=False)
    (folder / "study.json").write_text(text + "\n", encoding="utf-8")
    (folder / "study.md").write_text("\n".join(_table(document)) + "\n", encoding="utf-8")


def _row(
    default: Estimate, defaults: Sequence[Mapping[str, Estimate]], variant: Sequence[Mapping[str, Estimate]], name: str
) -> dict[str, Any]:
    """The variant's figure, and what the default has more than it."""
    found = over_seeds([one[name] for one in variant])
    gap = default - found
    return {
        **found.as_json(),
        "seeds": _values(variant, name),
        "default_minus_this": {**gap.as_json(), "verdict": verdict(gap)},
        "seeds_differ": [a - b for a, b in zip(_values(defaults, name), _values(variant, name), strict=True)],
    }


def _values(scores: Sequence[Mapping[str, Estimate]], name: str) -> list[float]:
    return [one[name].value for one in scores]


def _table(document: Mapping[str, Any]) -> list[str]:
    """The study as a Markdown table: what each choice brings, default minus the training without it."""
    measures = list(document["default"])
    head = ["choice", "instead", *measures]
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    whole = [
        f"{entry['value']:.3f} [{entry['interval'][0]:.3f}, {entry['interval'][1]:.3f}]"
        for entry in document["default"].values()
    ]
    lines.append(" | ".join(["**default**", "", *whole]))
    for row in document["choices"]:
        gaps = [row["measures"][name]["default_minus_this"] for name in measures]
        lines.append(" | ".join([row["choice"], row["instead"], *map(_said, gaps)]))
    return [f"| {line} |" for line in lines]


def _said(gap: Mapping[str, Any]) -> str:
    low, high = gap["interval"]
    text = f"{gap['value']:+.3f} [{low:+.3f}, {high:+.3f}]"
    return text if gap["verdict"] == "not shown" else f"**{text}**"

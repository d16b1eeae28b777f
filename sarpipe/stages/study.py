"""The study: trainings with one choice put back, for several seeds, and the baselines, beside the default."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sarpipe.cubes import CubeSet
from sarpipe.errors import DataError, UsageError
from sarpipe.evaluate.claims import LABELS
from sarpipe.evaluate.encoded import Encoded, encode_all
from sarpipe.evaluate.estimate import Estimate
from sarpipe.evaluate.evaluation import encode_beside_baselines
from sarpipe.evaluate.score import MEASURES, measure
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
SCORES = "scores.json"

Scores = Mapping[str, Estimate]
"""Of one training or baseline: `MEASURES` to their estimates."""

OnTraining = Callable[[int, int, str], None]
"""Called with the trainings that are done, all of them, and what is under way."""


def plan_study(settings: Settings, cube_set: Artefact, choices: Sequence[Choice], seeds: int) -> list[Step]:
    """The trainings of a study: the default and each choice put back, for each seed. What is there is kept."""
    return [plan_train(variant, cube_set) for variant in _variants(settings, choices, seeds)]


def make_study(
    settings: Settings,
    cube_set: Artefact,
    choices: Sequence[Choice],
    seeds: int,
    on_training: OnTraining,
    held_out: Artefact | None = None,
) -> tuple[Path, dict[str, Any]]:
    """Train and measure what is not there, and put it together: ``study.json`` and ``study.md``.

    Models and scores are artefacts of their own: a study that was broken off goes on, and one of more choices or seeds
    makes only those.

    Args:
        settings: Of the default.
        cube_set: The places to learn from, for trainings and baselines.
        choices: To be put back.
        seeds: 0 to this, not included, in place of the settings' seed.
        on_training: For progress.
        held_out: The places to measure on; None: the same.

    Returns:
        The folder, and what ``study.json`` holds.

    Raises:
        TrainingError: A training failed.
        DataError: There is nothing to measure.
        UsageError: A place that is held out is among those to learn from.
    """
    measured = cube_set if held_out is None else _disjoint(cube_set, held_out)
    variants = _variants(settings, choices, seeds)
    names = [f"{name}, seed {seed}" for name in ("default", *(c.name for c in choices)) for seed in range(seeds)]
    scores: list[Artefact] = []
    for number, (variant, name) in enumerate(zip(variants, names, strict=True)):
        say = partial(on_training, number, len(variants))
        say(name)
        scores.append(_scored(variant, cube_set, measured, _on_step(say, name)))
    baselines = _baselines(variants[0], cube_set, measured, partial(on_training, len(variants), len(variants)))
    on_training(len(variants), len(variants), "done")
    step = plan_step(
        "study",
        settings.train.preset,
        settings.data / "reports",
        inputs={
            "cubes": cubes_digest(cube_set),
            "measured": cubes_digest(measured),
            "scores": [artefact.digest for artefact in scores],
            "baselines": baselines.digest,
        },
        settings={"choices": [choice.name for choice in choices], "seeds": seeds},
        code=CODE,
        label="study",
    )
    found = [_read(artefact)["model"] for artefact in scores]
    by_variant = [found[start : start + seeds] for start in range(0, len(found), seeds)]
    places = {"learnt_from": _n(cube_set), "measured_on": _n(measured), "held_out": held_out is not None}
    document = _document(settings, choices, by_variant, _read(baselines)) | {"places": places}
    artefact, _ = make(step, lambda folder: _write(folder, document))
    return artefact.folder, json.loads(artefact.path("study.json").read_bytes())


def _disjoint(cube_set: Artefact, held_out: Artefact) -> Artefact:
    """The places that are held out."""
    # By position: a number may be the id of another place in another set.
    learnt, kept = (load_cubes(places).index for places in (cube_set, held_out))
    both = kept.merge(learnt, on=["latitude", "longitude"], suffixes=("", "_learnt")).dropna(subset="latitude")
    if len(both):
        raise UsageError(
            f"{len(both)} places are held out and learnt from, {both['id'].iloc[0]!r} is one",
            "Hold out other stores than those to learn from",
        )
    return held_out


def _n(cube_set: Artefact) -> int:
    return len(load_cubes(cube_set).ids)


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


def _scored(settings: Settings, cube_set: Artefact, measured: Artefact, on_step: OnStep) -> Artefact:
    """The scores of one training, which is made first if it is not there."""
    from sarpipe.model.extract import embed
    from sarpipe.model.weights import load_encoder

    make_model(plan_train(settings, cube_set), settings, cube_set, on_step)
    model = require(plan_train(settings, cube_set), "sarpipe study")

    def encoded(places: CubeSet) -> Encoded:
        encode = partial(embed, load_encoder(model.folder), device=settings.device)
        return encode_all(places, {"model": encode}, lambda _: None)

    return _score(settings, {"model": model.digest}, measured, encoded)


def _baselines(settings: Settings, cube_set: Artefact, measured: Artefact, say: Callable[[str], None]) -> Artefact:
    """The scores of the baselines, and of the default's encoder with random weights."""
    from sarpipe.model.extract import embed
    from sarpipe.model.initial import random_encoder
    from sarpipe.model.weights import load_encoder

    model = require(plan_train(settings, cube_set), "sarpipe study")

    def encoded(places: CubeSet) -> Encoded:
        learn_from = load_cubes(cube_set).cubes
        untrained = random_encoder(load_encoder(model.folder), learn_from, seed=SEED)
        encoders = {"random_weights": partial(embed, untrained, device=settings.device)}
        return encode_beside_baselines(
            places, encoders, learn_from=learn_from, seed=SEED, device=settings.device, progress=say
        )

    return _score(settings, {"model": model.digest, "learnt_from": cubes_digest(cube_set)}, measured, encoded)


def _score(
    settings: Settings, inputs: Mapping[str, Any], measured: Artefact, encoded: Callable[[CubeSet], Encoded]
) -> Artefact:
    """`SCORES`, made if it is not there."""
    step = plan_step(
        "study",
        settings.train.preset,
        settings.data / "scores",
        inputs={"cubes": cubes_digest(measured), **inputs},
        settings={"seed": SEED},
        code=(*EVALUATION, "stages/study.py"),
        label="scores",
    )

    def write(folder: Path) -> None:
        places = load_cubes(measured)
        scores = measure(places, encoded(places), SEED, lambda _: None).scores
        found = {name: method.figures() for name, method in scores.items()}
        if not any(found.values()):
            raise DataError("there is neither truth nor a second date to measure a training by", "Study a larger set")
        document = {
            method: {name: {"value": e.value, "samples": e.samples.tolist()} for name, e in figures.items()}
            for method, figures in found.items()
        }
        (folder / SCORES).write_text(json.dumps(document, allow_nan=False) + "\n", encoding="utf-8")

    return make(step, write)[0]


def _read(artefact: Artefact) -> dict[str, dict[str, Estimate]]:
    """The scores of each method."""
    return {
        method: {name: Estimate(entry["value"], np.array(entry["samples"])) for name, entry in figures.items()}
        for method, figures in json.loads(artefact.path(SCORES).read_bytes()).items()
    }


def _document(
    settings: Settings,
    choices: Sequence[Choice],
    scores: Sequence[Sequence[Scores]],
    baselines: Mapping[str, Scores],
) -> dict[str, Any]:
    """What ``study.json`` holds; ``scores`` of the default and of each choice, for each seed."""
    default, *variants = scores
    measures = [name for name in MEASURES if name in default[0]]
    whole = {name: over_seeds([one[name] for one in default]) for name in measures}
    return {
        "seeds": len(default),
        "train": settings.train.model_dump(mode="json", exclude={"seed"}),
        "default": {name: {**whole[name].as_json(), "seeds": _values(default, name)} for name in measures},
        "choices": [
            {
                "choice": choice.name,
                "instead": choice.instead,
                "measures": {name: _row(whole[name], default, variant, name) for name in measures},
            }
            for choice, variant in zip(choices, variants, strict=True)
        ],
        "baselines": [
            {
                "baseline": LABELS[method],
                # No baseline knows of the training's seed.
                "measures": {
                    name: _row(whole[name], default, [baselines[method]] * len(default), name)
                    for name in measures
                    if name in baselines[method]
                },
            }
            for method in LABELS
            if method in baselines
        ],
    }


def _write(folder: Path, document: Mapping[str, Any]) -> None:
    text = json.dumps(document, indent=1, sort_keys=True, allow_nan=False)
    (folder / "study.json").write_text(text + "\n", encoding="utf-8")
    (folder / "study.md").write_text("\n".join(_table(document)) + "\n", encoding="utf-8")


def _row(default: Estimate, defaults: Sequence[Scores], variant: Sequence[Scores], name: str) -> dict[str, Any]:
    """The figure of a variant or baseline, and what the default has more than it."""
    found = over_seeds([one[name] for one in variant])
    gap = default - found
    return {
        **found.as_json(),
        "seeds": _values(variant, name),
        "default_minus_this": {**gap.as_json(), "verdict": verdict(gap)},
        "seeds_differ": [a - b for a, b in zip(_values(defaults, name), _values(variant, name), strict=True)],
    }


def _values(scores: Sequence[Scores], name: str) -> list[float]:
    return [one[name].value for one in scores]


def _table(document: Mapping[str, Any]) -> list[str]:
    """The study as a Markdown table: the default, then what it has more than each training and baseline."""
    measures = list(document["default"])
    whole = [
        f"{entry['value']:.3f} [{entry['interval'][0]:.3f}, {entry['interval'][1]:.3f}]"
        for entry in document["default"].values()
    ]
    rows = [(row["choice"], row["instead"], row["measures"]) for row in document["choices"]]
    rows += [("baseline", row["baseline"], row["measures"]) for row in document["baselines"]]
    lines = [
        ["choice", "instead", *measures],
        ["---"] * (2 + len(measures)),
        ["**default**", "", *whole],
        *([choice, instead, *(_said(found.get(name)) for name in measures)] for choice, instead, found in rows),
    ]
    return [f"| {' | '.join(line)} |" for line in lines]


def _said(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    gap = found["default_minus_this"]
    low, high = gap["interval"]
    text = f"{gap['value']:+.3f} [{low:+.3f}, {high:+.3f}]"
    return text if gap["verdict"] == "not shown" else f"**{text}**"

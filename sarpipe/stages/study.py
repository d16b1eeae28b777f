"""The study: trainings with one choice put back, for several seeds, and the baselines, beside the default."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from sarpipe.codes import Code
from sarpipe.cubes import CubeSet
from sarpipe.errors import DataError, TrainingError, UsageError
from sarpipe.evaluate.blocks import BLOCK_KM, blocks
from sarpipe.evaluate.claims import FEWEST
from sarpipe.evaluate.encoded import Encoded, encode_all
from sarpipe.evaluate.evaluation import encode_beside_baselines
from sarpipe.evaluate.neighbours import near_others
from sarpipe.evaluate.score import measure
from sarpipe.evaluate.spectrum import rankme
from sarpipe.settings import Settings
from sarpipe.stages.evaluate import CODE as EVALUATION
from sarpipe.stages.evaluate import SEED
from sarpipe.stages.places import cubes_digest, load_cubes, open_cubes
from sarpipe.stages.step import Step, make, plan_step, require
from sarpipe.stages.train import OnStep, make_model, plan_train
from sarpipe.storage import Artefact
from sarpipe.storage.lock import in_use
from sarpipe.study.choices import AS_WRITTEN, SUPERVISED, Choice, without
from sarpipe.study.document import document, page
from sarpipe.study.result import Result
from sarpipe.train import CODE as TRAINING
from sarpipe.train.settings import TrainSettings

CODE = ("study", "evaluate/claims.py", "evaluate/estimate.py", "stages/study.py")
"""Two modules of the evaluation say from how many places and blocks on the page is without reserve."""
RESULTS_CODE = (*EVALUATION, "study/result.py", "stages/study.py")
SUPERVISED_CODE = (*TRAINING, "heap.py", "study/supervised.py")
AS_WRITTEN_CODE = (
    "heap.py",
    "ssl/counter.py",
    "train/deterministic.py",
    "train/order.py",
    "study/as_written.py",
)
_PASSING = (Code.MEMORY, Code.INTERRUPTED)
"""What a training may end with that says nothing of its choice: another try may go on."""
RESULTS = "results.json"
_POSITION = ("latitude", "longitude")

_MakeResult = Callable[[Settings, Artefact, "_Measured", OnStep], Result]

OnTraining = Callable[[int, int, str], None]
"""Called with the trainings that are done, all of them, and what is under way."""


def plan_study(
    settings: Settings,
    cube_set: Artefact,
    choices: Sequence[Choice],
    seeds: int,
    held_out: Artefact | None = None,
    apart_km: float = BLOCK_KM,
) -> list[Step]:
    """The trainings of a study, named: the default, each choice put back, the original's own and, where places are held
    out and there is truth to learn from, the supervised one; for each seed. What is there is kept.
    """
    trains = {"default": settings.train} | {choice.name: without(choice, settings.train) for choice in choices}
    steps = [
        replace(plan_train(one, cube_set), name=f"{name}, seed {seed}")
        for name, train in trains.items()
        for seed, one in enumerate(_seeds(settings, train, seeds))
    ]
    key = _key(cube_set, held_out, apart_km)
    return steps + [
        replace(_PLANS[choice](one, cube_set, key), name=f"{choice.name}, seed {seed}")
        for choice in _others(cube_set, held_out)
        for seed, one in enumerate(_seeds(settings, settings.train, seeds))
    ]


def make_study(
    settings: Settings,
    cube_set: Artefact,
    choices: Sequence[Choice],
    seeds: int,
    on_training: OnTraining,
    held_out: Artefact | None = None,
    apart_km: float = BLOCK_KM,
) -> tuple[Path, dict[str, Any]]:
    """Train and measure what is not there, and put it together: ``study.json`` and ``study.md``.

    Models and results are artefacts of their own: a study that was broken off goes on, and one of more choices or
    seeds makes only those. A choice whose training is stopped, as one that collapses is, is a row that says so; not
    one for which memory does not suffice: that ends the study.

    Args:
        settings: Of the default.
        cube_set: The places to learn from, for trainings and baselines.
        choices: To be put back.
        seeds: 0 to this, not included, in place of the settings' seed.
        on_training: For progress.
        held_out: The places to measure on; None: the same as are learnt from.
        apart_km: Of those that are held out, which are left out: nearer than this to one to learn from.

    Returns:
        The folder, and what ``study.json`` holds.

    Raises:
        TrainingError: A training of the default failed, or memory does not suffice for one of them.
        DataError: There is nothing to measure.
        UsageError: All places that are held out are near one to learn from.
    """
    measured = _Measured.on(cube_set, held_out, apart_km)
    others = _others(cube_set, held_out)
    total = seeds * (1 + len(choices) + len(others))

    def trained(name: str, train: TrainSettings, before: int, make_result: _MakeResult) -> list[Result]:
        found = []
        for seed, variant in enumerate(_seeds(settings, train, seeds)):
            say = partial(on_training, before + seed, total)
            say(f"{name}, seed {seed}")
            found.append(make_result(variant, cube_set, measured, _on_step(say, f"{name}, seed {seed}")))
        return found

    # It takes hours, in which what it reads may come to be outdated: until its end 'sarpipe gc' leaves that alone.
    with in_use(settings.data), in_use((held_out or cube_set).folder.parents[2]):
        default = trained("default", settings.train, 0, _result_of_training)
        beside: dict[Choice, Sequence[Result] | str] = {}
        for number, choice in enumerate((*choices, *others), 1):
            make_result = partial(_result_of_other, choice) if choice in _PLANS else _result_of_training
            try:
                beside[choice] = trained(choice.name, without(choice, settings.train), seeds * number, make_result)
            except TrainingError as error:
                if error.code in _PASSING:
                    raise
                beside[choice] = error.message
        (first, *_) = _seeds(settings, settings.train, 1)
        baselines = _baselines(first, cube_set, measured, partial(on_training, total, total))
        on_training(total, total, "done")
    study = {
        "train": settings.train.model_dump(mode="json", exclude={"seed"}),
        "places": {
            "learnt_from": measured.learnt_from,
            "measured_on": len(measured.places.ids),
            "blocks": measured.blocks,
            "held_out": held_out is not None,
            "apart_km": None if held_out is None else apart_km,
            "left_out_as_near": measured.left_out,
        },
        **document(default, beside, baselines, judged=len(measured.places.ids) >= FEWEST),
    }
    step = plan_step(
        "study",
        settings.train.preset,
        settings.data / "reports",
        # Its content is what it was made from: models, places and code are in the keys of its parts.
        inputs={"study": study},
        settings={},
        code=CODE,
        label="study",
    )
    artefact, _ = make(step, lambda folder: _write(folder, study))
    return artefact.folder, study


def _seeds(settings: Settings, train: TrainSettings, seeds: int) -> list[Settings]:
    return [settings.model_copy(update={"train": train.model_copy(update={"seed": seed})}) for seed in range(seeds)]


@dataclass(frozen=True)
class _Measured:
    """The places to measure on.

    Attributes:
        places: They.
        key: What they depend on.
        learnt_from: How many places there are to learn from.
        left_out: How many were held out in vain, as they are near one to learn from.
    """

    places: CubeSet
    key: Mapping[str, Any]
    learnt_from: int
    left_out: int

    @property
    def blocks(self) -> int:
        """Of ground, that the places lie in."""
        latitude, longitude = (self.places.index[name].to_numpy(np.float64) for name in _POSITION)
        return len(np.unique(blocks(latitude, longitude)))

    @classmethod
    def on(cls, cube_set: Artefact, held_out: Artefact | None, apart_km: float) -> _Measured:
        key = _key(cube_set, held_out, apart_km)
        if held_out is None:
            places = load_cubes(cube_set)
            return cls(places, key, len(places.ids), 0)
        # Left in its files: of what is learnt from, only the positions are asked here.
        learnt, places = open_cubes(cube_set, 0), load_cubes(held_out)
        positions = (index[name].to_numpy(np.float64) for index in (places.index, learnt.index) for name in _POSITION)
        far = np.flatnonzero(~near_others(*positions, km=apart_km))
        if not len(far):
            raise UsageError(
                f"all {len(places.ids)} places that are held out are within {apart_km:g} km of one to learn from",
                "Hold out stores of another region, or more of them, or set a smaller --apart-km",
            )
        truth = None if places.truth is None else places.truth.iloc[far]
        ids = tuple(places.ids[i] for i in far)
        kept = CubeSet(ids, places.cubes[far], places.frames[far], places.index.iloc[far], truth)
        return cls(kept, key, len(learnt.ids), len(places.ids) - len(far))


def _key(cube_set: Artefact, held_out: Artefact | None, apart_km: float) -> dict[str, Any]:
    learnt = cubes_digest(cube_set)
    if held_out is None:
        return {"cubes": learnt}
    return {"cubes": cubes_digest(held_out), "far_from": learnt, "apart_km": apart_km}


def _others(cube_set: Artefact, held_out: Artefact | None) -> list[Choice]:
    """What is trained beside the choices."""
    return [AS_WRITTEN, *([SUPERVISED] if held_out is not None and _has_truth(cube_set) else [])]


def _has_truth(cube_set: Artefact) -> bool:
    return open_cubes(cube_set, 0).truth is not None


def _on_step(say: Callable[[str], None], name: str) -> OnStep:
    return lambda step, steps, loss: say(f"{name}: step {step} of {steps}, loss {loss:.3f}")


def _result_of_training(settings: Settings, cube_set: Artefact, measured: _Measured, on_step: OnStep) -> Result:
    """The result of one training, which is made first if it is not there."""
    from sarpipe.model.extract import embed
    from sarpipe.model.weights import load_encoder

    make_model(plan_train(settings, cube_set), settings, cube_set, on_step)
    model = require(plan_train(settings, cube_set), "sarpipe study")

    def encoded(places: CubeSet) -> Encoded:
        encode = partial(embed, load_encoder(model.folder), device=settings.device)
        return encode_all(places, {"model": encode}, lambda _: None)

    return _results(_plan_results(settings, measured.key, {"model": model.digest}), measured, encoded)["model"]


def _result_of_other(
    choice: Choice, settings: Settings, cube_set: Artefact, measured: _Measured, on_step: OnStep
) -> Result:
    """The result of an encoder that is trained beside the choices. It is of no other use, so it is not kept."""
    from sarpipe.model.extract import embed
    from sarpipe.study.as_written import train_as_written
    from sarpipe.study.supervised import train_supervised

    train = {AS_WRITTEN: train_as_written, SUPERVISED: train_supervised}[choice]

    def encoded(places: CubeSet) -> Encoded:
        encoder = train(load_cubes(cube_set), settings.train, device=settings.device, progress=on_step)
        return encode_all(places, {"model": partial(embed, encoder, device=settings.device)}, lambda _: None)

    return _results(_PLANS[choice](settings, cube_set, measured.key), measured, encoded)["model"]


def _plan_supervised(settings: Settings, cube_set: Artefact, key: Mapping[str, Any]) -> Step:
    made = {"supervised": settings.train.model_dump(mode="json")}
    return _plan_results(settings, key, {"learnt_from": cubes_digest(cube_set)}, made, SUPERVISED_CODE)


def _plan_as_written(settings: Settings, cube_set: Artefact, key: Mapping[str, Any]) -> Step:
    # Nothing else of the settings matters to it: a study of another default has it already.
    made = {"as_written": settings.train.model_dump(mode="json", include={"epochs", "seed", "deterministic"})}
    return _plan_results(settings, key, {"learnt_from": cubes_digest(cube_set)}, made, AS_WRITTEN_CODE)


_PLANS = {AS_WRITTEN: _plan_as_written, SUPERVISED: _plan_supervised}


def _baselines(
    settings: Settings, cube_set: Artefact, measured: _Measured, say: Callable[[str], None]
) -> dict[str, Result]:
    """The results of the baselines, and of the default's encoder with random weights."""
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

    inputs = {"model": model.digest, "learnt_from": cubes_digest(cube_set)}
    return _results(_plan_results(settings, measured.key, inputs), measured, encoded)


def _plan_results(
    settings: Settings,
    key: Mapping[str, Any],
    inputs: Mapping[str, Any],
    made: Mapping[str, Any] = MappingProxyType({}),
    code: Sequence[str] = (),
) -> Step:
    """What is measured, on the places of this key, of methods that were made from ``inputs``, by the settings ``made``
    and this code.
    """
    return plan_step(
        "study",
        settings.train.preset,
        settings.data / "scores",
        inputs={**key, **inputs},
        settings={"seed": SEED, **made},
        code=(*RESULTS_CODE, *code),
        label="scores",
    )


def _results(step: Step, measured: _Measured, encoded: Callable[[CubeSet], Encoded]) -> dict[str, Result]:
    """What is measured of each method, made if it is not there."""

    def write(folder: Path) -> None:
        vectors = encoded(measured.places)
        scores = measure(measured.places, vectors, SEED, lambda _: None).scores
        results = {name: Result(one.figures(), rankme(vectors.whole[name])) for name, one in scores.items()}
        if not any(one.figures for one in results.values()):
            raise DataError(
                "there is neither truth nor a second date to measure a training by",
                "Study a larger set",
                code=Code.TOO_FEW,
            )
        text = json.dumps({name: one.as_json() for name, one in results.items()}, allow_nan=False)
        (folder / RESULTS).write_text(text + "\n", encoding="utf-8")

    artefact, _ = make(step, write)
    found = json.loads(artefact.path(RESULTS).read_bytes())
    return {name: Result.of_json(one) for name, one in found.items()}


def _write(folder: Path, study: Mapping[str, Any]) -> None:
    text = json.dumps(study, indent=1, sort_keys=True, allow_nan=False)
    (folder / "study.json").write_text(text + "\n", encoding="utf-8")
    (folder / "study.md").write_text("\n".join(page(study)) + "\n", encoding="utf-8")

import numpy as np
import pandas as pd
import pytest
import torch

from sarpipe.cubes import CubeSet
from sarpipe.errors import TrainingError
from sarpipe.model.extract import embed
from sarpipe.study.supervised import standardised, train_supervised
from sarpipe.train import TrainSettings

PLACES = 24


def bright_and_dark(truth: pd.DataFrame | None) -> CubeSet:
    """Places that differ in their level, which half of the names do not tell."""
    random = np.random.default_rng(0)
    levels = np.linspace(-18, -6, PLACES)
    cubes = random.normal(0, 1, (PLACES, 12, 64, 64)).astype(np.float32) + levels[:, None, None, None]
    index = pd.DataFrame({"latitude": random.uniform(0, 60, PLACES), "longitude": random.uniform(0, 60, PLACES)})
    frames = np.zeros((PLACES, 4, 4, 64, 64), np.float16)
    return CubeSet(tuple(f"place {i}" for i in range(PLACES)), cubes.astype(np.float32), frames, index, truth)


def test_an_encoder_that_is_told_the_truth_knows_it() -> None:
    cubes = bright_and_dark(None)
    levels = np.linspace(-1, 1, PLACES)
    known = np.where(np.arange(PLACES) % 4 == 0, np.nan, levels)
    truth = pd.DataFrame({"id": cubes.ids, "level": known, "same": 1.0, "words": "a"})[::-1]
    told = CubeSet(cubes.ids, cubes.cubes, cubes.frames, cubes.index, truth)
    steps: list[tuple[int, int]] = []
    losses: list[float] = []

    def progress(step: int, of: int, loss: float) -> None:
        steps.append((step, of))
        losses.append(loss)

    views = {"date_subset": 0.0, "db_offset": 0.0, "speckle": 0.0, "blur": (0.0, 0.0)}
    settings = TrainSettings.model_validate({"epochs": 12, "batch_size": 12, "views": views})
    encoder = train_supervised(told, settings, device="cpu", progress=progress)

    assert steps == [(step, 24) for step in range(1, 25)]
    # Told nothing, the squared error of what is standardised is 1.
    assert np.mean(losses[-3:]) < 0.3 < losses[0]
    vectors = embed(encoder, cubes.cubes, device="cpu")
    assert vectors.shape == (PLACES, 1024)
    unknown = np.isnan(known)
    design = np.c_[vectors, np.ones(PLACES)]
    line = np.linalg.lstsq(design[~unknown], levels[~unknown], rcond=1e-3)[0]
    assert np.corrcoef(design[unknown] @ line, levels[unknown])[0, 1] > 0.9


def test_the_same_seed_gives_the_same_encoder() -> None:
    cubes = bright_and_dark(None)
    truth = pd.DataFrame({"id": cubes.ids, "level": np.arange(PLACES)})
    told = CubeSet(cubes.ids, cubes.cubes, cubes.frames, cubes.index, truth)
    weights = [
        train_supervised(told, TrainSettings(epochs=1, batch_size=12, seed=seed), device="cpu", progress=_quiet)
        for seed in (0, 0, 1)
    ]
    first, again, other = (torch.cat([w.flatten() for w in one.parameters()]) for one in weights)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def _quiet(step: int, of: int, loss: float) -> None: ...


def test_truth_is_standardised_place_by_place() -> None:
    truth = pd.DataFrame({"id": ["c", "a", "b"], "x": [3.0, 1.0, np.inf], "y": [1.0, 1.0, 1.0], "z": [0, 2, 4]})
    found = standardised(truth, ("a", "b", "c", "d"))
    np.testing.assert_allclose(found[:, 0], [-1, np.nan, 1, np.nan])
    np.testing.assert_allclose(found[:, 1], [0, 1.5**0.5, -(1.5**0.5), np.nan], atol=1e-6)


def test_nothing_to_tell_is_said() -> None:
    with pytest.raises(TrainingError, match="no truth lies beside the 2 places"):
        standardised(None, ("a", "b"))
    with pytest.raises(TrainingError, match="no column of the truth varies"):
        standardised(pd.DataFrame({"id": ["a", "b"], "x": [1.0, 1.0]}), ("a", "b"))

from __future__ import annotations

import dataclasses

import pytest
import torch

from sarpipe.errors import TrainingError
from sarpipe.preprocess.temporal import statistics
from sarpipe.train import TrainSettings
from sarpipe.train.collapse import stop_if_collapsed, stop_if_views_leak
from sarpipe.train.loop import train
from sarpipe.train.plan import Plan

CPU = torch.device("cpu")
HEALTHY = [38.6, 0.4, -3.2, 0.6]


def judge(last, *, epoch=20, places=256, batch=64, preset="sar", **overrides):
    settings = TrainSettings.of_preset(preset, **{"epochs": 30, "batch_size": batch, **overrides})
    plan = Plan.of(settings, max(places, batch), CPU)
    stop_if_collapsed([HEALTHY] * (epoch - 1) + [last], places, plan, settings)


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ([12.4, 0.4, -3.2, 0.6], r"few dimensions: after epoch 20 RankMe is 12.4 of 256 \(at least 12.5 is needed\)"),
        ([float("nan"), 0.4, -3.2, 0.6], "few dimensions"),
        ([30.0, 0.01, -0.4, 0.1], r"one spot: after epoch 20 uniformity is -0.40 \(at most -0.5 is sound\)"),
    ],
)
def test_what_has_collapsed_is_said_with_its_figures_and_what_to_try(last, said):
    with pytest.raises(TrainingError, match=said) as caught:
        judge(last)
    assert "Try " in caught.value.hint


def test_views_that_are_told_without_training_are_a_leak_but_in_tiny_batches():
    z = torch.randn(64, 16, generator=torch.Generator().manual_seed(0))
    with pytest.raises(TrainingError, match=r"too much alike: in the first step 100.0% of 64 found their partner"):
        stop_if_views_leak(z, 2 * z)
    stop_if_views_leak(z[:63], z[:63])
    stop_if_views_leak(z, torch.cat([z[1:2], z[1:]]))  # one of 64 does not find its own
    stop_if_views_leak(torch.ones(64, 16), torch.ones(64, 16))


def test_the_rank_is_judged_by_what_it_could_be():
    for places, readout, least in ((512, "tokens_and_stages", 25.0), (512, "tokens", 6.25), (64, "tokens", 3.125)):
        judge([least + 0.1, 0.4, -3.2, 0.6], places=places, readout=readout)
        with pytest.raises(TrainingError, match="few dimensions"):
            judge([least - 0.1, 0.4, -3.2, 0.6], places=places, readout=readout)


@pytest.mark.parametrize(
    "circumstances",
    [{"places": 63, "batch": 63}, {"batch": 32}, {"epoch": 5}, {"epoch": 6, "warmup_epochs": 50}],
    ids=["few places", "small batches", "early", "while warming up"],
)
def test_runs_too_small_or_too_young_are_not_judged(circumstances):
    judge([1.0, 0.0, 0.0, 0.0], **circumstances)


def test_a_healthy_run_is_let_through_and_one_without_augmentation_is_stopped(toy_places, tmp_path):
    places = toy_places(64, noise=2.0)
    for preset in ("sar", "original"):
        settings = TrainSettings.of_preset(preset, epochs=7, batch_size=64)
        assert len(train(places, settings, tmp_path / preset, device="cpu").losses) == 7
    off = {"date_subset": 0, "crop_min": 1, "symmetry": "none", "blur": (0, 0), "speckle": 0, "db_offset": 0}
    plain = TrainSettings.of_preset("sar", epochs=7, batch_size=64, views={**off, "polarisation_drop": 0})
    with pytest.raises(TrainingError, match="too much alike"):
        train(places, plain, tmp_path / "plain", device="cpu")


def test_a_run_whose_places_are_all_the_same_is_stopped(toy_places, tmp_path):
    places = toy_places(64)
    frames = places.frames[:1].repeat(64, axis=0)
    same = dataclasses.replace(places, frames=frames, cubes=statistics(frames))
    # Flips alone: every place gives one of four views, so all embeddings lie in a few directions.
    views = {"date_subset": 0, "crop_min": 1, "symmetry": "flips", "speckle": 0, "db_offset": 0, "polarisation_drop": 0}
    settings = TrainSettings.of_preset("original", epochs=7, batch_size=64, dropout=0, views=views)
    with pytest.raises(TrainingError, match="collapsed"):
        train(same, settings, tmp_path, device="cpu")

"""The views of the plain loop are drawn as those of the program."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from sarpipe.channels import CHANNELS
from sarpipe.preprocess.temporal import statistics
from sarpipe.ssl.counter import place_keys
from sarpipe.ssl.view_settings import ViewSettings
from sarpipe.ssl.views import two_views

PLAIN = Path(__file__).resolve().parent.parent.parent / "benchmarks" / "plain.py"
MEAN, DIFFERENCE = CHANNELS.index("mean_vv"), CHANNELS.index("diff_vv")
PLACES, EPOCHS = 32, 8


@pytest.fixture(scope="module")
def plain():
    spec = importlib.util.spec_from_file_location("plain", PLAIN)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def drawn(plain, frames):
    """First and second views ``[2, N, 12, 64, 64]``, of the program and of the plain loop."""
    cubes = np.stack([statistics(place) for place in frames])
    keys = place_keys([str(i) for i in range(len(frames))])
    tensors = torch.from_numpy(cubes), torch.from_numpy(frames), keys
    ours = [torch.stack(two_views(*tensors, ViewSettings(), seed=0, epoch=epoch)) for epoch in range(EPOCHS)]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        data = plain.Views(cubes, frames, np.zeros((len(frames), 2)))
        theirs = [torch.stack(data[i][:2]) for _ in range(EPOCHS) for i in range(len(frames))]
    return torch.cat(ours, 1), torch.stack(theirs, 1)


def neighbours(image):
    """Correlation of pixels side by side, ``[..., H, W] -> [...]``."""
    image = image - image.mean((-2, -1), keepdim=True)
    across, down = image[..., 1:] * image[..., :-1], image[..., 1:, :] * image[..., :-1, :]
    return (across.mean((-2, -1)) + down.mean((-2, -1))) / 2 / image.square().mean((-2, -1))


def missing(views):
    """Share of each channel's pixels without data."""
    return views.isnan().float().mean((0, 2, 3))


def levels(views):
    """How much the mean level of a channel differs between views."""
    level = views.mean((2, 3))
    return torch.stack([channel[channel.isfinite()].std() for channel in level.unbind(1)])


def test_on_places_that_are_the_same_everywhere_only_speckle_and_level_are_seen(plain):
    frames = np.full((PLACES, 4, 4, 64, 64), -10, np.float16)
    found = []
    for views in drawn(plain, frames):
        mean, difference = views.flatten(0, 1)[:, [MEAN, DIFFERENCE]].unbind(1)
        spread = mean.std((1, 2))
        loud = spread > 0.02
        found.append(
            {
                "with speckle": loud.float().mean().item(),
                "speckle": spread[loud].mean().item(),
                "in the difference": (difference[loud].var((1, 2)) / spread[loud] ** 2).mean().item(),
                "neighbours": neighbours(mean[loud]).mean().item(),
                "neighbours in the difference": neighbours(difference[loud]).mean().item(),
                "level": mean.mean((1, 2)).std().item(),
            }
        )
    ours, theirs = found
    assert theirs == pytest.approx(ours, rel=0.1, abs=0.04)


def test_on_random_places_every_channel_varies_as_much_and_is_as_smooth(plain):
    rng = np.random.default_rng(0)
    coarse = rng.normal(size=(PLACES, 4, 4, 16, 16)).repeat(4, 3).repeat(4, 4)
    frames = (coarse + rng.normal(size=(PLACES, 4, 4, 64, 64))).astype(np.float16)
    for ours, theirs in zip(*drawn(plain, frames), strict=True):
        assert missing(theirs) == pytest.approx(missing(ours), abs=0.08)
        assert levels(theirs) == pytest.approx(levels(ours), rel=0.2)
        assert theirs.std((2, 3)).nanmean(0) == pytest.approx(ours.std((2, 3)).nanmean(0), rel=0.05)
        assert neighbours(theirs).nanmean(0) == pytest.approx(neighbours(ours).nanmean(0), rel=0.05)

from __future__ import annotations

import numpy as np
import pytest
import torch

from sarpipe.evaluate.perturbation import correlated, offset, perturbations, shift, speckle, without_a_date
from sarpipe.ssl.views import _correlated


@pytest.fixture
def frames() -> np.ndarray:
    return np.random.default_rng(0).normal(-12, 3, (5, 4, 4, 64, 64)).astype(np.float32)


def test_all_leave_their_input_alone_and_change_it(frames: np.ndarray) -> None:
    before = frames.copy()
    for levels in perturbations().values():
        for _, perturb in levels:
            changed = perturb(frames, np.random.default_rng(0))
            assert changed.shape == frames.shape
            assert not np.array_equal(changed, before)
    np.testing.assert_array_equal(frames, before)


@pytest.mark.parametrize(("looks", "decibels"), [(1, 5.57), (4, 2.31), (20, 0.983)])
def test_speckle_has_the_deviation_of_gamma_speckle_in_decibels(
    frames: np.ndarray, looks: int, decibels: float
) -> None:
    noise = speckle(looks)(frames, np.random.default_rng(1)) - frames
    drawn = 10 * np.log10(np.random.default_rng(2).gamma(looks, 1 / looks, 100_000))
    assert drawn.std() == pytest.approx(decibels, rel=0.02)
    assert noise[:, :, :2].std() == pytest.approx(decibels, rel=0.02)
    assert not noise[:, :, 2:].any()


def test_its_neighbours_resemble_each_other_as_in_training() -> None:
    white = np.random.default_rng(0).standard_normal((2, 2, 64, 64)).astype(np.float32)
    ours = correlated(white)
    np.testing.assert_allclose(ours, _correlated(torch.from_numpy(white)).numpy(), atol=1e-5)
    noise = correlated(np.random.default_rng(1).standard_normal((50, 1, 64, 64)).astype(np.float32))
    assert np.mean(noise[..., 1:] * noise[..., :-1]) == pytest.approx(0.5, abs=0.01)


def test_offset_and_shift_are_what_they_say(frames: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    moved = offset(-2.0)(frames, rng) - frames
    np.testing.assert_allclose(moved[:, :, :2], -2, atol=1e-5)
    assert not moved[:, :, 2:].any()
    shifted = shift(2)(frames, rng)
    np.testing.assert_array_equal(shifted[..., 2:, 2:], frames[..., :-2, :-2])
    np.testing.assert_array_equal(shifted[..., 0, 5], frames[..., 0, 3])


def test_one_date_of_each_place_is_taken_but_never_the_only_one(frames: np.ndarray) -> None:
    frames[1, 2:] = np.nan
    frames[2, 1:] = np.nan
    left = np.isfinite(without_a_date(frames, np.random.default_rng(0))).all(axis=(2, 3, 4)).sum(axis=1)
    assert left.tolist() == [3, 1, 1, 3, 3]


def test_a_polarisation_takes_what_is_made_from_it(frames: np.ndarray) -> None:
    missing = {name: perturb(frames, np.random.default_rng(0)) for name, perturb in perturbations()["missing"]}
    assert np.isnan(missing["VV"]).all(axis=(0, 1, 3, 4)).tolist() == [True, False, True, True]
    assert np.isnan(missing["VH"]).all(axis=(0, 1, 3, 4)).tolist() == [False, True, False, False]

"""What a view adds as speckle, against the speckle that is left in the cube of flat ground."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sarpipe.channels import CHANNELS
from sarpipe.preprocess.place import make_cube
from sarpipe.preprocess.recipe import SarRecipe
from sarpipe.simulate.speckle import observe
from sarpipe.ssl.counter import place_keys
from sarpipe.ssl.view_settings import ViewSettings
from sarpipe.ssl.views import two_views

MEAN, DIFFERENCE = CHANNELS.index("mean_vv"), CHANNELS.index("diff_vv")
INSIDE = slice(4, -4)


@pytest.fixture(scope="module")
def flat():
    rng = np.random.default_rng(0)
    ground = np.full((264, 264), -10, np.float32)
    return make_cube(np.stack([[observe(rng, ground, noisy=True)] * 2 for _ in range(4)]), SarRecipe())


def added(strength):
    off = {"date_subset": 0, "crop_min": 1, "symmetry": "none", "blur": (0, 0), "db_offset": 0, "polarisation_drop": 0}
    settings = ViewSettings(**off, speckle=1, speckle_db=strength)
    keys = place_keys([str(i) for i in range(200)])
    view, _ = two_views(torch.zeros(200, 12, 64, 64), None, keys, settings, seed=0, epoch=0)
    return view.numpy()


def correlations(image):
    """With the pixels 1, 2 and 3 further, mean of both axes."""
    values = image - image.mean()
    found = [[(axis[lag:] * axis[:-lag]).mean() for axis in (values, values.T)] for lag in (1, 2, 3)]
    return np.mean(found, axis=1) / values.var()


def test_it_is_normal_in_db_and_stands_in_mean_and_difference_as_real_speckle_does(flat):
    view = added(1.0)
    loudest = view[:, MEAN].std(axis=(1, 2)).argmax()
    for mean, difference in (
        (flat.cube[MEAN, INSIDE, INSIDE], flat.cube[DIFFERENCE, INSIDE, INSIDE]),
        (view[loudest, MEAN], view[loudest, DIFFERENCE]),
    ):
        assert difference.std() / mean.std() == pytest.approx(8**0.5, rel=0.1)
        assert abs(np.corrcoef(mean.ravel(), difference.ravel())[0, 1]) < 0.06
        assert correlations(mean) == pytest.approx([0.5, 0.07, 0], abs=0.1)
        assert correlations(difference) == pytest.approx([0.5, 0.07, 0], abs=0.1)
        for values in (mean - mean.mean(), difference - difference.mean()):
            assert np.mean((values / values.std()) ** 4) == pytest.approx(3, abs=0.35)
            assert np.mean((values / values.std()) ** 3) == pytest.approx(0, abs=0.3)


def test_by_default_a_date_is_given_at_most_about_as_much_as_it_has_and_half_of_that_on_average(flat):
    # On flat ground 0.62 dB are left of a date at 64 px, of 1.9 dB at 10 m.
    left = flat.frames[:, 0, INSIDE, INSIDE].std(axis=(1, 2)).mean()
    assert left == pytest.approx(0.62, abs=0.04)
    per_date = 2 * added(ViewSettings().speckle_db)[:, MEAN].std(axis=(1, 2))
    assert 0.7 * left < per_date.max() < left
    assert per_date.mean() == pytest.approx(0.25, abs=0.03)


def test_a_view_of_fewer_dates_is_given_the_speckle_of_fewer():
    off = {"crop_min": 1, "symmetry": "none", "blur": (0, 0), "db_offset": 0, "polarisation_drop": 0}
    settings = ViewSettings(**off, date_subset=1, speckle=1, speckle_db=1)
    keys = place_keys([str(i) for i in range(100)])
    for fixed in (False, True):
        view, _ = two_views(
            torch.zeros(100, 12, 64, 64), torch.zeros(100, 4, 4, 64, 64), keys, settings, seed=0, epoch=0, fixed=fixed
        )
        mean, difference = view[:, MEAN].std((1, 2)), view[:, DIFFERENCE].std((1, 2))
        # Of n dates the mean has 1 / n of a date's variance, the difference always twice it.
        dates = (difference / mean).square() / 2
        assert dates.round().int().bincount().tolist() == pytest.approx([0, 0, 33, 33, 33], abs=15)

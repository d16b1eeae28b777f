import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sarpipe.evaluate.estimate import Estimate, over_seeds
from sarpipe.study.paired import verdict


def estimates(seed: int, n_seeds: int, shift: float = 0.0) -> list[Estimate]:
    random = np.random.default_rng(seed)
    places = random.normal(0, 0.05, 500)
    levels = random.normal(0.5, 0.02, n_seeds)
    return [Estimate(level + shift, level + shift + places) for level in levels]


@given(st.integers(0, 1000), st.integers(1, 5))
def test_what_places_and_seeds_have_in_common_is_no_difference(seed: int, n_seeds: int) -> None:
    gap = over_seeds(estimates(seed, n_seeds, 0.01)) - over_seeds(estimates(seed, n_seeds))

    np.testing.assert_allclose([gap.value, *gap.interval], 0.01, atol=1e-12)
    assert verdict(gap) == "better"


def test_one_seed_is_its_own_mean() -> None:
    (one,) = estimates(0, 1)
    found = over_seeds([one])

    assert found.value == one.value
    np.testing.assert_array_equal(found.samples, one.samples)


def test_seeds_widen_the_interval() -> None:
    # Places that do not matter, seeds that do: the interval is that of the mean of drawn seeds.
    several = [Estimate(level, np.full(1000, level)) for level in (0.4, 0.5, 0.6)]
    found = over_seeds(several)

    assert found.value == 0.5
    assert np.isclose(found.samples.std(), np.std([0.4, 0.5, 0.6]) / np.sqrt(3), rtol=0.1)
    assert found.interval[0] < 0.45 < 0.55 < found.interval[1]


def test_verdicts() -> None:
    assert verdict(Estimate(-1.0, np.full(10, -1.0))) == "worse"
    assert verdict(Estimate(0.5, np.linspace(-1, 2, 100))) == "not shown"

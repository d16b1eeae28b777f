from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sarpipe.preprocess.temporal import statistics
from sarpipe.ssl.temporal import statistics_of_dates, statistics_of_some_dates

PIXELS = st.one_of(st.floats(-50, 1000, width=16), st.just(np.nan))
FRAMES = hnp.arrays(np.float16, (3, 4, 2, 2, 3), elements=PIXELS)
DATES = hnp.arrays(np.bool_, (3, 4)).filter(lambda chosen: chosen.any(1).all())


@given(FRAMES, DATES)
@settings(max_examples=60)
def test_equals_the_statistics_of_the_chosen_dates_in_numpy(frames, dates):
    found = statistics_of_dates(torch.from_numpy(frames), torch.from_numpy(dates)).numpy()
    wanted = np.stack([statistics(place[chosen]) for place, chosen in zip(frames, dates, strict=True)])
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-3)


def test_all_dates_give_the_cube():
    frames = np.random.default_rng(0).normal(size=(2, 4, 4, 8, 8)).astype(np.float32)
    found = statistics_of_dates(torch.from_numpy(frames), torch.ones(2, 4, dtype=torch.bool))
    np.testing.assert_allclose(found.numpy(), statistics(frames), rtol=1e-5, atol=1e-6)


@given(FRAMES, DATES, st.lists(st.integers(0, 2), unique=True))
@settings(max_examples=60, deadline=None)
def test_some_rows_are_the_same_by_the_quicker_way(frames, dates, rows):
    there = torch.tensor(rows, dtype=torch.int64)
    frames, dates = torch.from_numpy(frames), torch.from_numpy(dates)
    found = statistics_of_some_dates(frames, there, dates)
    wanted = statistics_of_dates(frames, dates)[there]
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-3, equal_nan=True)

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from sarpipe.search import Index


@pytest.fixture(scope="session")
def make_index() -> Callable[..., Index]:
    """An index of random vectors, along the equator a tenth of a degree (11.1 km) apart."""

    def make(count: int, *, positions: bool = True) -> Index:
        rng = np.random.default_rng(count)
        dates = np.full((count, 4), np.datetime64("NaT"), "datetime64[us]")
        dates[:, :2] = [np.datetime64("2020-02-21T06:00"), np.datetime64("2020-05-27T06:00")]
        longitude = np.arange(count) / 10
        return Index.of(
            [f"{place:07d}" for place in range(count)],
            rng.standard_normal((count, 128)).astype(np.float32),
            np.zeros(count) if positions else np.full(count, np.nan),
            longitude if positions else np.full(count, np.nan),
            dates,
        )

    return make

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from sarpipe.cubes import CubeSet
from sarpipe.quarantine import with_help
from sarpipe.report import Report

DATES = [np.datetime64(day) for day in ("2020-02-21", "2020-05-27", "2020-08-19", "2020-11-27")]
PASSES = ["descending", "ascending", "descending", "descending"]


@pytest.fixture(scope="session")
def make_places() -> Callable[..., CubeSet]:
    def make(count: int, *, truth: bool = True) -> CubeSet:
        rng = np.random.default_rng(count)
        ids = tuple(f"{place:07d}" for place in range(count))
        # Many places share one array, so that a test of many costs little.
        few = rng.normal(-12, 3, (min(count, 8), 12, 64, 64)).astype(np.float32)
        cubes = few if count <= 8 else np.broadcast_to(few[0], (count, 12, 64, 64))
        index = pd.DataFrame({"id": ids, "store": "store_000001"})
        index["latitude"] = rng.uniform(-60, 70, count)
        index["longitude"] = rng.uniform(-180, 180, count)
        index["dates"] = [DATES] * count
        index["orbit_passes"] = [PASSES] * count
        index["relative_orbits"] = [[7, 80, 7, 7 + place % 3] for place in range(count)]
        index["valid_fraction"], index["valid_fractions"] = 0.875, [[0.5, 1.0, 1.0, 1.0]] * count
        index["flags"] = [["mixed_passes", "partly_valid"]] * count
        known = pd.DataFrame(rng.dirichlet(np.ones(3), count), columns=["fraction_water", "fraction_built_up", "x"])
        known.insert(0, "id", ids)
        frames = np.broadcast_to(few[:1, :4, None].astype(np.float16), (count, 4, 4, 64, 64))
        return CubeSet(ids, cubes, frames, index, known if truth else None)

    return make


def method(value: float, dimensions: int) -> dict[str, object]:
    measure = {"value": value, "interval": [value - 0.05, value + 0.05]}
    names = ("recall_at_1", "recall_at_5", "recall_at_10", "mrr")
    return {
        "dimensions": dimensions,
        "rankme": 100 * value,
        "retrieval": {**dict.fromkeys(names, measure), "n": 256},
        "displaced_retrieval": {**dict.fromkeys(names, measure), "n": 256},
        "probe": {"fraction_water": {"r2": value, "interval": [value - 0.1, value + 0.1]}},
        "mean_r2": measure,
    }


@pytest.fixture(scope="session")
def figures() -> dict[str, object]:
    return {
        "n": 256,
        "methods": {
            "sarpipe": method(0.512, 1024),
            "random_weights": method(0.313, 1024),
            "pca": method(0.513, 24),
            "band_statistics": method(0.614, 24),
        },
        "differences": [
            {"measure": "mean_r2", "baseline": "random_weights", "n": 6, "difference": 0.199, "interval": [0.15, 0.25]},
            {
                "measure": "mean_r2",
                "baseline": "band_statistics",
                "n": 6,
                "difference": -0.102,
                "interval": [-0.14, -0.06],
            },
            {
                "measure": "r2:season_amplitude",
                "baseline": "band_statistics",
                "n": 6,
                "difference": 0.3,
                "interval": None,
            },
            {
                "measure": "recall_at_1",
                "baseline": "band_statistics",
                "n": 6,
                "difference": -0.02,
                "interval": [-0.1, 0.06],
            },
        ],
        "claims": ["The embedding loses to band statistics by 0.10."],
        "notes": ["All targets are proxies."],
    }


@pytest.fixture(scope="session")
def losses() -> pd.DataFrame:
    steps = np.arange(60)
    return pd.DataFrame({"step": steps, "epoch": steps // 20, "loss": 5 * 0.97**steps, "learning_rate": 1e-3})


@pytest.fixture(scope="session")
def make_report(
    make_places: Callable[..., CubeSet], figures: dict[str, object], losses: pd.DataFrame
) -> Callable[..., Report]:
    def make(count: int, *, truth: bool = True) -> Report:
        return Report(
            title="Report",
            summary={"places": {"in": count + 1, "embedded": count, "quarantined": 1}, "recipe": "sar", "source": "s"},
            figures=figures,
            losses=losses,
            monitors=pd.DataFrame({"epoch": [0, 1, 2], "rankme": [10.0, np.nan, 30.0]}),
            places=make_places(count, truth=truth),
            vectors=np.random.default_rng(0).normal(size=(count, 64)).astype(np.float32),
            labels=None,
            compression={"bytes_a_place": {"raw_float16_cube": 1115136, "embedding": 4096}, "ratio": 272.25},
            quarantine=with_help(
                pd.DataFrame(
                    [
                        {"id": "0000099", "store": "s_000002", "step": "cube", "code": "no-data", "reason": "only 31%"},
                    ]
                )
            ),
            provenance={"settings": {"looks": 4.4}, "digests": {"cubes": "a" * 64}},
        )

    return make

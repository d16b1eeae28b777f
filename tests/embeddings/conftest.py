"""Tables of embeddings with places as the index of cubes has them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyproj import Transformer

from sarpipe.embeddings import Embeddings, Origin
from sarpipe.embeddings.table import LISTS

HALF = 1320.0


def _row(place: str, longitude: float, latitude: float, crs: int) -> dict[str, Any]:
    bounds = [np.nan] * 4
    if crs:
        x, y = Transformer.from_crs(4326, crs, always_xy=True).transform(longitude, latitude)
        bounds = [x - HALF, y - HALF, x + HALF, y + HALF]
    return {
        "id": place,
        "store": "store_1",
        "latitude": latitude,
        "longitude": longitude,
        "crs": crs,
        **dict(zip(("west", "south", "east", "north"), bounds, strict=True)),
        "dates": [
            pd.Timestamp("2020-01-02T03:04:05.678901", tz="UTC"),
            pd.NaT,
            None,
            np.datetime64("2020-07-01", "us"),
        ],
        "products": ["S1A_one", "S1A_two", "", "S1B_four"],
        "orbit_passes": ["ascending", "ascending", "unknown", "descending"],
        "relative_orbits": [1, 2, 0, 175],
        "valid_fraction": 0.75,
        "flags": ["date_order_stored", "partly_valid"],
    }


@pytest.fixture
def make_embeddings() -> Callable[..., Embeddings]:
    """Embeddings of places given as (id, longitude, latitude, EPSG or 0)."""

    def make(places: list[tuple[str, float, float, int]], seed: int = 0) -> Embeddings:
        index = pd.DataFrame([_row(*place) for place in places])
        if not places:
            index = pd.DataFrame([_row("x", 0, 0, 0)]).iloc[:0]
        vectors = {
            place[0]: np.random.default_rng((seed, *place[0].encode())).standard_normal(1024).astype(np.float32)
            for place in places
        }
        stacked = np.stack([*vectors.values()]) if places else np.empty((0, 1024), np.float32)
        return Embeddings(tuple(index["id"]), stacked, index)

    return make


@pytest.fixture
def embeddings(make_embeddings: Callable[..., Embeddings]) -> Embeddings:
    """Two places in UTC, one with its centre alone, one of which nothing is known."""
    return make_embeddings(
        [
            ("nowhere", np.nan, np.nan, 0),
            ("sydney", 151.2, -33.9, 32756),
            ("munich", 11.6, 48.1, 32632),
            ("centre-only", 12.5, 41.9, 0),
        ]
    )


@pytest.fixture
def fewer_dates_embeddings(embeddings: Embeddings) -> Embeddings:
    """The same places with 1, 2, 3 and 4 dates."""
    index = embeddings.index.copy()
    for name in LISTS:
        index[name] = [row[:count] for row, count in zip(index[name], (1, 2, 3, 4), strict=True)]
    index["flags"] = [["single_date"], [], ["partly_valid"], []]
    return replace(embeddings, index=index)


@pytest.fixture
def origin() -> Origin:
    """What some embeddings were made from."""
    return Origin(
        name="sar-0123456789ab",
        provenance={"recipe": {"name": "sar", "enl": 4.4}, "versions": {"sarpipe": "0.1.0"}, "inputs": {"model": "aa"}},
        model="aa" * 32,
        cubes="bb" * 32,
        model_href="../../models/sar-ba9876543210/encoder.json",
        cubes_href="../../cubes/sar-01234567/",
    )

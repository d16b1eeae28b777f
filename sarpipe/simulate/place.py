"""One simulated place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sarpipe.channels import N_DATES, PLACE_SIZE
from sarpipe.simulate.acquisition import Acquisition, acquisitions
from sarpipe.simulate.backscatter import Ground, draw_ground
from sarpipe.simulate.climate import draw_climate
from sarpipe.simulate.landcover import CLASSES, WATER, LandCover, draw_land_cover
from sarpipe.simulate.location import GROUP, Location, city_rng, locate
from sarpipe.simulate.speckle import observe

MAX_PLACES = 64
WEDGE_SHARE = 0.05
"""Share of the places of which one date is cut by the border of the swath."""
UNSORTED_SHARE = 0.1
"""Share of the places whose bands do not follow ``time_`` (SSL4EO-S12-v1.1 issue 4)."""
_PLACE_STREAM = 0


@dataclass(frozen=True)
class SimulatedPlace:
    """One place as a store holds it, and what is true of it.

    Attributes:
        id: Seven digits, unique over all stores of a seed.
        db: ``float16 [4, 2, 264, 264]`` dB, VV then VH, in the order of ``file_ids``; NaN outside the swath.
        file_ids: Four product ids.
        times: ``datetime64[us] [4]`` in UTC, sorted; in a small share of the places not in the order of
            ``file_ids``.
        location: Where it is.
        truth: Column name to value; see `sarpipe.simulate.simulate`.
    """

    id: str
    db: NDArray[np.float16]
    file_ids: tuple[str, ...]
    times: NDArray[np.datetime64]
    location: Location
    truth: dict[str, float]


def simulate_place(seed: int, store: int, place: int) -> SimulatedPlace:
    """Simulate one place; the same arguments give the same place, whatever else is simulated.

    Args:
        seed: 0 or more.
        store: Number of its store, from 1.
        place: Its position there, 0 to 63.
    """
    rng = np.random.Generator(np.random.SFC64(np.random.SeedSequence([seed, store, place, _PLACE_STREAM])))
    shared = city_rng(seed, store, place)
    location = locate(shared, rng, place % GROUP)
    climate = draw_climate(shared, rng, location.city_km)
    cover = draw_land_cover(rng, climate)
    ground = draw_ground(rng, cover, climate, location.latitude)
    unsorted = bool(rng.random() < UNSORTED_SHARE)
    dates = acquisitions(rng, location.latitude, location.longitude, mixed_missions=unsorted)
    db = _observe(rng, cover, ground, dates)
    if rng.random() < WEDGE_SHARE:
        _cut(rng, db)
    order = sorted(range(N_DATES), key=lambda t: dates[t].file_id) if unsorted else list(range(N_DATES))
    shares = np.bincount(cover.classes.ravel(), minlength=len(CLASSES)) / cover.classes.size
    truth = {f"fraction_{name}": float(share) for name, share in zip(CLASSES, shares, strict=True)}
    return SimulatedPlace(
        id=f"{(store - 1) * MAX_PLACES + place:07d}",
        db=db[order],
        file_ids=tuple(dates[t].file_id for t in order),
        times=np.array([date.start for date in dates]),
        location=location,
        truth=truth
        | {
            "season_amplitude_db": ground.season_amplitude_db(),
            "texture_scale_px": climate.texture_px,
            "field_size_px": cover.field_size_px,
        },
    )


def _observe(
    rng: np.random.Generator, cover: LandCover, ground: Ground, dates: list[Acquisition]
) -> NDArray[np.float16]:
    db = np.empty((N_DATES, 2, PLACE_SIZE, PLACE_SIZE), np.float16)
    has_water = bool((cover.classes == WATER).any())
    for t, date in enumerate(dates):
        bands = ground.backscatter(rng, date.day_of_year, date.incidence, ascending=date.ascending)
        db[t, 0] = observe(rng, bands[0], noisy=False)
        db[t, 1] = observe(rng, bands[1], noisy=has_water)
    return db


def _cut(rng: np.random.Generator, db: NDArray[np.float16]) -> None:
    """Set what lies beyond the border of the swath to NaN on one date: a wedge, as the border follows the orbit."""
    tilt = np.tan(np.radians(rng.uniform(8, 16))) * rng.choice([-1, 1])
    rows, columns = np.mgrid[:PLACE_SIZE, :PLACE_SIZE]
    across = columns - tilt * rows
    outside = across < np.quantile(across, rng.uniform(0.05, 0.45))
    db[rng.integers(N_DATES)][:, outside[:, :: rng.choice([-1, 1])]] = np.nan

"""What the places around one city have in common, and what one place makes of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Climate:
    """The settings of one place, drawn around those of its city.

    Attributes:
        water, built, forest, crop: Wished shares of the place, 0 to 1; grass takes the rest of the farmland.
        river: Whether the water is a river and not lakes.
        aridity: 0 (humid) to 1 (bare, dry ground between the plants).
        season_db: Yearly amplitude of a field's VH, dB.
        summer_crops: Share of the fields that peak in late summer and not in spring, 0 to 1.
        field_px: Typical side of a field, pixels.
        texture_px: Distance at which the texture's autocorrelation has fallen to 1/e, pixels.
        texture_db: Deviation of the texture, dB.
        relief_db: Deviation of the terrain's effect on backscatter, dB.
    """

    water: float
    built: float
    forest: float
    crop: float
    river: bool
    aridity: float
    season_db: float
    summer_crops: float
    field_px: float
    texture_px: float
    texture_db: float
    relief_db: float


def draw_climate(shared: np.random.Generator, rng: np.random.Generator, city_km: float) -> Climate:
    """Draw a place's settings.

    Texture, season and field size are drawn independently of the shares, so that no class gives them away.

    Args:
        shared: The group's generator: the same draws for each of its places.
        rng: The place's own generator.
        city_km: Distance to the city; the nearer, the more is built.
    """
    forest, crop, aridity = shared.beta([1.1, 1.3, 0.7], [1.6, 1.1, 1.6])
    water, river, hilly = shared.random(3)
    forest, crop, aridity = np.clip(np.array([forest, crop, aridity]) + rng.normal(0, [0.15, 0.15, 0.1]), 0.03, 0.97)
    return Climate(
        water=min(float(rng.beta(1.0, 4.5)) * 1.4, 0.7) if rng.random() < 0.25 + 0.5 * water else 0.0,
        built=float(np.clip(0.45 * np.exp(-city_km / 8) * rng.uniform(0.2, 1.2) + rng.beta(0.6, 18), 0, 0.8)),
        forest=float(forest * (1 - 0.5 * aridity)),
        crop=float(crop),
        river=bool(rng.random() < river),
        aridity=float(aridity),
        season_db=_log_uniform(rng, 1.0, 6.0),
        summer_crops=float(rng.uniform(0.1, 0.9)),
        field_px=_log_uniform(rng, 8, 48),
        texture_px=_log_uniform(rng, 3, 24),
        texture_db=float(rng.uniform(1.1, 1.5)),
        relief_db=float(rng.exponential(0.4)) if hilly > 0.4 else 0.0,
    )


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))

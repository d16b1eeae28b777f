"""The twelve channels of a cube: their names, order and sizes, said once."""

from __future__ import annotations

POLARISATIONS: tuple[str, ...] = ("vv", "vh")
"""Bands of a store, in the order in which every place is held in memory. Backscatter in dB."""

FEATURES: tuple[str, ...] = ("vv", "vh", "clahe", "edge")
"""What is computed for each date: denoised VV and VH (dB), equalised VV (0..255), its Sobel magnitude."""

STATISTICS: tuple[str, ...] = ("mean", "std", "diff")
"""What is taken over the dates: mean, population standard deviation, last minus first."""

CHANNELS: tuple[str, ...] = tuple(f"{stat}_{feature}" for stat in STATISTICS for feature in FEATURES)
"""``mean_vv mean_vh mean_clahe mean_edge std_vv ... diff_edge``: the channel axis of every cube."""

N_DATES = 4
PLACE_SIZE = 264
"""Height and width of a place in pixels (10 m each)."""
PIXEL_SPACING_M = 10.0
CUBE_SIZE = 64
"""Height and width of a cube in pixels (41.25 m each)."""
EMBED_DIM = 1024

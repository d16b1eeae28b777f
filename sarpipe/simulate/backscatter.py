"""Backscatter of the ground of one place, in dB, for each band and date, before the sensor sees it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sarpipe.channels import POLARISATIONS
from sarpipe.simulate.climate import Climate
from sarpipe.simulate.field import smooth_noise
from sarpipe.simulate.landcover import BUILT, CELLS, CLASSES, CROP, FOREST, GRASS, STRIPS, WATER, LandCover

# Rows: VV, VH. Columns: water, forest, crop, grass, built. Means at 37.5 degrees in a middling season. Medians of
# real scenes: boreal forest -10.4 and -16.0 (BioMassters), farmland -9.6 and -17.2 (Punjab), savanna -8.3 and -14.0;
# 5 % quantile under floods -20.8 and -29.4. The 14 real places have means of -11.2 and -17.6, all of SSL4EO-S12 v1.1
# -12.6 and -20.3; simulated places -12.0 and -19.0.
_LEVEL_DB = np.array([[-21.0, -8.8, -10.5, -11.8, -7.0], [-28.5, -14.6, -17.7, -18.4, -14.0]], np.float32)
_ARIDITY_DB = np.array([[0.0, -1.0, -2.0, -5.0, 0.0], [0.0, -1.5, -2.5, -6.5, 0.0]], np.float32)
_INCIDENCE_DB = np.array([-0.5, -0.10, -0.15, -0.15, -0.10], np.float32)
"""dB a degree away from 37.5; water falls fastest."""
_MOISTURE = np.array([0.0, 0.3, 1.0, 1.0, 0.2], np.float32)
"""How much of a date's soil moisture each class shows; VH shows 0.7 of it."""
_TEXTURE = np.array([0.0, 1.3, 0.8, 1.0, 1.0], np.float32)
_SEASON = np.array([0.0, 0.2, 1.0, 0.35, 0.0], np.float32)
"""Yearly amplitude of VH, in shares of the place's."""
_MEAN_INCIDENCE = 37.5
_WIND_DB = np.array([6.0, 4.0], np.float32)
"""From calm to windy water, VV and VH."""
_FIELDS = STRIPS * CELLS
_PATCHES = _FIELDS + len(CLASSES)


@dataclass(frozen=True)
class Ground:
    """The ground of one place, ready to be seen on any date.

    A patch is one field of farmland, or one of the other classes as a whole: what changes with the date changes by
    patch, and what varies within a patch (`structure`) depends on the pass only.

    Attributes:
        patches: ``int32 [264, 264]``, number of the patch of each pixel.
        patch_class: ``uint8 [P]``, index into `CLASSES`.
        level: ``float32 [2, P]`` dB of VV and VH that do not change.
        amplitude: ``float32 [2, P]`` dB of the yearly wave; negative where the band falls as the plants grow.
        peak: ``float32 [P]`` day of the year at which it is highest.
        structure: For ascending and not: ``float32 [2, 264, 264]`` dB of VV and VH.
    """

    patches: NDArray[np.int32]
    patch_class: NDArray[np.uint8]
    level: NDArray[np.float32]
    amplitude: NDArray[np.float32]
    peak: NDArray[np.float32]
    structure: dict[bool, NDArray[np.float32]]

    def season_amplitude_db(self) -> float:
        """Mean over the pixels of the yearly amplitude (half of highest minus lowest) of VH."""
        area = np.bincount(self.patches.ravel(), minlength=_PATCHES)
        return float((area * np.abs(self.amplitude[1])).sum() / area.sum())

    def backscatter(
        self, rng: np.random.Generator, day_of_year: float, incidence: float, *, ascending: bool
    ) -> NDArray[np.float32]:
        """The ground on one date: ``float32 [2, 264, 264]`` dB, VV then VH.

        Args:
            rng: Where the date's soil moisture, wind and field work come from.
            day_of_year: 0 to 366.
            incidence: Degrees.
            ascending: From which side it is seen.
        """
        wave = np.cos((day_of_year - self.peak) * np.float32(2 * np.pi / 365.25))
        by_class = np.outer([1.0, 0.7], _MOISTURE) * rng.normal(0, 0.8) + rng.normal(0, 0.25, (2, 1))
        by_class += _INCIDENCE_DB * (incidence - _MEAN_INCIDENCE)
        by_class[:, WATER] += _WIND_DB * (rng.beta(1.2, 1.8) - 0.4)
        work = rng.normal(0, 1.0, _PATCHES) * (self.patch_class == CROP)
        table = self.level + self.amplitude * wave + by_class[:, self.patch_class] + work
        ground = np.take(table.astype(np.float32), self.patches, axis=1)
        ground += self.structure[ascending]
        return ground


def draw_ground(rng: np.random.Generator, cover: LandCover, climate: Climate, latitude: float) -> Ground:
    """Draw the ground that lies below a map."""
    farmland = (cover.classes == CROP) | (cover.classes == GRASS)
    patches = np.where(farmland, cover.fields, _FIELDS + cover.classes.astype(np.int32)).astype(np.int32)
    patch_class = np.concatenate([np.where(cover.is_crop, CROP, GRASS), np.arange(len(CLASSES))]).astype(np.uint8)
    amplitude, peak = _season(rng, climate, patch_class, latitude)
    return Ground(
        patches=patches,
        patch_class=patch_class,
        level=_levels(rng, climate, patch_class),
        amplitude=amplitude,
        peak=peak,
        structure=_structure(rng, cover, climate, farmland),
    )


def _levels(rng: np.random.Generator, climate: Climate, patch_class: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Class means, moved for the place and for its classes by about a dB, and for each field."""
    place = rng.normal(0, 0.6, (2, 1)) + rng.normal(0, 0.4, (2, len(CLASSES)))
    levels = (_LEVEL_DB + climate.aridity * _ARIDITY_DB + place)[:, patch_class]
    is_field = np.arange(_PATCHES) < _FIELDS
    spread = np.where(patch_class == CROP, 1.5, 0.8) * is_field
    common = rng.standard_normal(_PATCHES)
    own = rng.standard_normal((2, _PATCHES))
    return (levels + spread * (0.45 * common + 0.9 * own)).astype(np.float32)


def _season(
    rng: np.random.Generator, climate: Climate, patch_class: NDArray[np.uint8], latitude: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Two kinds of crops half a season apart, so that over many fields the wave cancels and in each it does not."""
    summer = (rng.random(_PATCHES) < climate.summer_crops) & (patch_class == CROP)
    spring = (patch_class == CROP) & ~summer
    vh = climate.season_db * _SEASON[patch_class] * np.where(patch_class == CROP, rng.uniform(0.5, 1.5, _PATCHES), 1.0)
    # Upright cereals attenuate VV while they grow; broad leaves raise both.
    vv = vh * np.where(spring, -0.6, 0.6)
    peak = np.where(summer, 235, np.where(spring, 130, 185)) + rng.normal(0, 14, _PATCHES)
    peak += 182.6 if latitude < 0 else 0.0
    return np.stack([vv, vh]).astype(np.float32), peak.astype(np.float32)


def _structure(
    rng: np.random.Generator, cover: LandCover, climate: Climate, farmland: NDArray[np.bool_]
) -> dict[bool, NDArray[np.float32]]:
    """Texture, field boundaries and point targets; and what the side of the look makes of forest edges and slopes."""
    land = cover.classes != WATER
    texture = smooth_noise(rng, climate.texture_px)
    other = smooth_noise(rng, climate.texture_px)
    weight = climate.texture_db * _TEXTURE[cover.classes]
    same = np.stack([texture * weight, (0.5 * texture + 0.87 * other) * weight])
    same += _boundaries(rng, cover.fields, farmland)
    slope = climate.relief_db * smooth_noise(rng, 30) * land
    edge_db = rng.uniform(1.2, 2.6)
    targets = _targets(rng, cover.classes)
    structure = {}
    for ascending in (True, False):
        # Sentinel-1 looks right: ascending to the east, descending to the west.
        looking = 1 if ascending else -1
        seen = looking * slope + edge_db * _forest_edges(cover.classes == FOREST, looking)
        seen += _cardinal_db(cover.row_angle, looking) * (cover.classes == BUILT)
        points = np.maximum(targets, _targets(rng, cover.classes))
        structure[ascending] = (same + seen + points * np.array([1.0, 0.6]).reshape(2, 1, 1)).astype(np.float32)
    return structure


def _boundaries(
    rng: np.random.Generator, fields: NDArray[np.int32], farmland: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Lines between fields: dark tracks and ditches, or bright hedges, strongest where they lie across the look."""
    lines = np.zeros(fields.shape, np.float32)
    lines[1:] = 0.6 * (fields[1:] != fields[:-1])
    lines[:, 1:] = np.maximum(lines[:, 1:], fields[:, 1:] != fields[:, :-1])
    strength = np.array([1.0, 1.8]) * rng.uniform(0.5, 1.5) if rng.random() < 0.5 else np.array([-2.4, -1.8])
    return (strength.reshape(len(POLARISATIONS), 1, 1) * (lines * farmland)).astype(np.float32)


def _forest_edges(forest: NDArray[np.bool_], looking: int) -> NDArray[np.float32]:
    """+1 on the edge that faces the radar, -1.6 in the shadow behind the forest, 2 and 3 pixels deep."""
    before = np.roll(forest, 2 * looking, axis=1)
    lit = forest & ~before
    shadow = ~forest & (before | np.roll(forest, 3 * looking, axis=1))
    # What rolls around the border is not a neighbour.
    edges = lit - np.float32(1.6) * shadow
    edges[:, :3] = edges[:, -3:] = 0
    return np.asarray(edges, dtype=np.float32)


def _cardinal_db(row_angle: float, looking: int) -> float:
    """Streets across the look are bright: the walls along them reflect straight back."""
    heading = np.pi / 2 - looking * np.radians(12)
    off = np.abs((row_angle - heading + np.pi / 4) % (np.pi / 2) - np.pi / 4)
    return float(2.5 * np.exp(-np.square(off / np.radians(10))))


def _targets(rng: np.random.Generator, classes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Buildings that reflect like a corner: dB above their surroundings, dense in town, rare on farms."""
    targets = np.zeros(classes.size, np.float32)
    town = np.flatnonzero(classes == BUILT)
    farms = np.flatnonzero((classes == CROP) | (classes == GRASS))
    for where, number in ((town, round(0.03 * town.size)), (farms, int(rng.poisson(6 * farms.size / classes.size)))):
        if where.size and number:
            targets[rng.choice(where, number)] = 3 + rng.exponential(3.5, number)
    return np.minimum(targets, 25).reshape(classes.shape)

"""What the tests of the simulator share: places simulated once, real scenes, and the measures that compare them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from sarpipe.simulate import SimulatedPlace, simulate_place

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
PIXELS_A_PLACE = 4000


def box(image: NDArray, width: int) -> NDArray:
    return cv2.blur(image, (width, width), borderType=cv2.BORDER_REFLECT_101)


@dataclass(frozen=True)
class Measures:
    """Speckle and band relation of one scene: one date of one place, VV and VH.

    looks: the equivalent number of looks of VV and VH: mean^2 / variance of intensity in every 7 x 7 window, and of
        these the mode (of the logarithm's histogram, five bins of 0.1 smoothed). Windows over edges and texture have
        fewer looks than the ground, so the mode shows homogeneous ground where it is the most common. As speckle is
        correlated, a window underestimates variance: 4.4 true looks give 5.2.
    autocorrelation: of log-intensity of VV minus its 11 x 11 mean, at lags 1 to 4, mean of rows and columns, over the
        quarter of the pixels whose surroundings vary least.
    difference_db: mean of VV - VH.
    local_correlation: of VV and VH, each minus its 9 x 9 mean: what is left is speckle and points.
    smooth_correlation: of VV and VH after a Gaussian of 4 pixels: land cover and texture.
    """

    looks: tuple[float, float]
    autocorrelation: tuple[float, ...]
    difference_db: float
    local_correlation: float
    smooth_correlation: float


def looks(db: NDArray, width: int = 7) -> float:
    intensity = 10 ** (db.astype(np.float64) / 10)
    mean = box(intensity, width)
    variance = (box(intensity**2, width) - mean**2) * width**2 / (width**2 - 1)
    inside = np.s_[width // 2 : -(width // 2), width // 2 : -(width // 2)]
    counts, edges = np.histogram(np.log(mean[inside] ** 2 / np.maximum(variance[inside], 1e-15)), np.arange(-2, 6, 0.1))
    mode = int(np.convolve(counts, np.ones(5), "same").argmax())
    return float(np.exp(edges[mode] + 0.05))


def autocorrelation(db: NDArray, width: int = 11) -> tuple[float, ...]:
    residual = db - box(db, width)
    variance = box(residual**2, width)
    calm = np.zeros(db.shape, bool)
    inside = np.s_[width:-width, width:-width]
    calm[inside] = variance[inside] <= np.quantile(variance[inside], 0.25)
    values = []
    for lag in (1, 2, 3, 4):
        pairs = [
            (residual[:-lag], residual[lag:], calm[:-lag]),
            (residual[:, :-lag], residual[:, lag:], calm[:, :-lag]),
        ]
        values.append(
            np.mean([(a[m] * b[m]).mean() / np.sqrt((a[m] ** 2).mean() * (b[m] ** 2).mean()) for a, b, m in pairs])
        )
    return tuple(float(value) for value in values)


def measure(scene: NDArray) -> Measures:
    vv, vh = scene.astype(np.float32)
    fine = [(band - box(band, 9)).ravel() for band in (vv, vh)]
    coarse = [cv2.GaussianBlur(band, (0, 0), 4).ravel() for band in (vv, vh)]
    return Measures(
        looks=(looks(vv), looks(vh)),
        autocorrelation=autocorrelation(vv),
        difference_db=float((vv - vh).mean()),
        local_correlation=float(np.corrcoef(*fine)[0, 1]),
        smooth_correlation=float(np.corrcoef(*coarse)[0, 1]),
    )


def quantiles(places: list[NDArray]) -> NDArray:
    """Of VV and VH over places of equal weight, ``[2, len(QUANTILES)]`` dB; a place is ``[dates, 2, H, W]``."""
    rng = np.random.default_rng(0)
    pools: tuple[list[NDArray], list[NDArray]] = ([], [])
    for place in places:
        for band, pool in enumerate(pools):
            values = place[:, band].astype(np.float32)
            pool.append(rng.choice(values[np.isfinite(values)], PIXELS_A_PLACE))
    return np.stack([np.quantile(np.concatenate(pool), QUANTILES) for pool in pools])


@dataclass(frozen=True)
class Sample:
    """Places (lists of ``[dates, 2, H, W]`` dB) and the measures of their scenes that are single and whole."""

    places: list[NDArray]
    measures: list[Measures]

    def median(self, name: str) -> NDArray:
        return np.median([getattr(m, name) for m in self.measures], axis=0)

    def quantiles(self) -> NDArray:
        return quantiles(self.places)


@pytest.fixture(scope="session")
def places() -> list[SimulatedPlace]:
    """Sixty-four places: two of each of 32 stores, so of 32 cities."""
    return [simulate_place(0, store, place) for store in range(1, 33) for place in (0, 12)]


@pytest.fixture(scope="session")
def simulated(places: list[SimulatedPlace]) -> Sample:
    scenes = [place.db[0] for place in places]
    return Sample([place.db for place in places], [measure(scene) for scene in scenes if np.isfinite(scene).all()])


@pytest.fixture(scope="session")
def real(real_data: Path) -> Sample:
    """Fourteen real places.

    Speckle is measured on the single GRD scenes of 13 of them: 0000200 of SSL4EO-S12 itself (2 dates), 8 tiles of
    Sen1Floods11, 1 of SEN12MS-CR, 3 of BigEarthNet. The store with four dates (BioMassters) holds monthly means of
    several scenes, with 30 looks: it counts for the levels only.
    """
    two_dates = bands(real_data / "two_date" / "S1GRD" / "ssl4eos12_raw_0000200.zarr.zip")
    single = real_data / "single_date" / "S1GRD"
    # The four crops of a tile of Sen1Floods11 follow one another.
    floods = bands(single / "sen1floods11_public_000001.zarr.zip")[:, 0].reshape(8, 4, 2, 264, 264)
    others = [
        place for name in ("sen12mscr", "bigearthnet") for place in bands(single / f"{name}_public_000001.zarr.zip")
    ]
    scenes = [scene for place in [*two_dates, *floods, *others] for scene in place]
    composites = bands(real_data / "S1GRD" / "ssl4eos12_train_seasonal_data_900001.zarr.zip")
    return Sample(
        [*two_dates, *floods, *others, composites.reshape(-1, 2, 264, 264)],
        [measure(scene) for scene in scenes if np.isfinite(scene).all()],
    )


def bands(path: Path) -> NDArray:
    with zarr.storage.ZipStore(path, mode="r") as store:
        return np.asarray(zarr.open_group(store, mode="r", zarr_format=2)["bands"][...])

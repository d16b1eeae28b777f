"""What recipe `sar` does to speckle and to edges, on real data: the reasons for its defaults.

    python benchmarks/speckle.py --data FOLDER --out docs/speckle.png
    python benchmarks/speckle.py --data FOLDER --json > speckle.json

FOLDER holds real Sentinel-1 stores (Sen1Floods11, a place of SSL4EO-S12 v1.0, BioMassters); the default is that of the
environment's SARPIPE_REAL_DATA, else ../shared/data/sentinel1. A few minutes on one core. See docs/preprocessing.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, uniform_filter
from scipy.optimize import brentq
from speckle_figure import draw
from speckle_measures import (
    WINDOW,
    Image,
    Mask,
    Shore,
    above_surroundings,
    best_shift,
    bright_points,
    guided_bilateral,
    local_looks,
    mode,
    profile,
    shore_of,
    width,
)
from zarr.storage import ZipStore

from sarpipe.preprocess import grey
from sarpipe.preprocess.bilateral import bilateral, speckle_std_db
from sarpipe.preprocess.clahe import clahe
from sarpipe.preprocess.mask import valid_pixels
from sarpipe.preprocess.recipe import SarRecipe
from sarpipe.simulate.speckle import observe

ROOT = Path(__file__).resolve().parent.parent
FLOODS = "single_date/S1GRD/sen1floods11_public_000001.zarr.zip"
WATER = "single_date/labels/sen1floods11_public_water.npz"
TWO_DATES = "two_date/S1GRD/ssl4eos12_raw_0000200.zarr.zip"
MONTHLY = "S1GRD/ssl4eos12_train_seasonal_data_900001.zarr.zip"
SHOWN, CROP = "8000018", (96, 100, 128)
"""The scene of the figure, and the top, left and size of what is shown of it, in pixels."""

RECIPE = SarRecipe()
RANGES = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)
SPACES = (1.0, 2.0, 3.0, 4.0)
GUIDED = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
CUBE_BLUR = (264 / 64 - 1) / 2
"""Deviation in pixels of the Gaussian by which resampling to the cube's 64 x 64 avoids aliasing."""

Filter = Callable[[Image, Mask], Image]


def bilateral_filter(deviations: float, space: float, looks: float = RECIPE.looks) -> Filter:
    """The recipe's filter with a range sigma of so many deviations of speckle."""
    sigma = deviations * speckle_std_db(looks)
    return lambda db, valid: bilateral(db, valid, diameter=9, sigma_range=sigma, sigma_space=space)


def guided_filter(deviations: float) -> Filter:
    """The same with a smoothed guide."""
    sigma = deviations * speckle_std_db(RECIPE.looks)
    return lambda db, valid: guided_bilateral(db, valid, sigma_range=sigma, sigma_space=RECIPE.sigma_space)


def disc_mean(db: Image, valid: Mask) -> Image:
    """What recipe `original` does, blind to missing pixels."""
    return bilateral(db, valid, diameter=9, sigma_range=75, sigma_space=75)


FILTERS: dict[str, Filter] = {
    "raw": lambda db, valid: np.where(valid, db, np.nan).astype(np.float32),
    "sar": bilateral_filter(RECIPE.sigma_range_looks, RECIPE.sigma_space),
    "original": disc_mean,
}


class Band:
    """The images of one polarisation of one source, and their masks."""

    def __init__(self, dates: NDArray[np.float32], polarisation: int) -> None:
        self.images = [date[polarisation] for date in dates]
        self.masks = [valid_pixels(date, RECIPE.floor_db)[polarisation] for date in dates]

    def through(self, smooth: Filter) -> list[Image]:
        """The images after a filter."""
        return [smooth(image, mask) for image, mask in zip(self.images, self.masks, strict=True)]

    def looks(self, images: list[Image]) -> NDArray[np.float64]:
        """Local looks of these images, all windows in a row; NaN where one is not whole."""
        pairs = zip(images, self.masks, strict=True)
        return np.concatenate([local_looks(image, mask).ravel() for image, mask in pairs])

    def anti_aliased(self, images: list[Image]) -> list[Image]:
        """What resampling to the cube sees before it picks its pixels."""
        filled = [np.where(np.isfinite(image), image, np.nanmean(image)) for image in images]
        smooth = [gaussian_filter(image, CUBE_BLUR) for image in filled]
        return [np.where(mask, image, np.nan) for image, mask in zip(smooth, self.masks, strict=True)]


def read_dates(path: Path) -> tuple[NDArray[np.float32], list[str]]:
    """``[n, dates, 2, y, x]`` in dB, and the names of the places."""
    with ZipStore(path, mode="r") as store, xr.open_zarr(store, consolidated=False) as data:
        bands = data["bands"].sel(band=["vv", "vh"])
        return bands.values.astype(np.float32), [str(name) for name in data["sample"].values]


def main() -> int:
    """Measure, print, draw."""
    options = _options()
    if not (options.data / FLOODS).is_file():
        print(
            f"No real data: {options.data / FLOODS} is not there. Give their folder as --data or SARPIPE_REAL_DATA",
            file=sys.stderr,
        )
        return 2
    cv2.setNumThreads(1)
    floods, names = read_dates(options.data / FLOODS)
    floods = floods[:, 0]
    two_dates = read_dates(options.data / TWO_DATES)[0][0]
    places = read_dates(options.data / MONTHLY)[0][..., 4:-4, 4:-4]  # 256 x 256 are real, the rest is mirrored
    monthly = places.reshape(-1, *places.shape[2:])
    with np.load(options.data / WATER) as labels:
        water = labels["label"]
    shown = names.index(SHOWN)
    sources = {"Sen1Floods11": floods, "SSL4EO 0000200": two_dates, "BioMassters monthly": monthly}
    result: dict[str, Any] = {
        "speckle_std_db": {str(looks): speckle_std_db(looks) for looks in (1, 4.4, 10, 35, 45)},
        "estimator_on_flat_ground": _estimator_check(),
        "enl": {name: _enl(dates) for name, dates in sources.items()},
        "composite": _composite(places),
        "outside_window": {name: _outside(dates) for name, dates in sources.items()},
        "flicker": _flicker(floods[shown]),
    }
    result |= _edges(floods, water)
    print(json.dumps(result, indent=1)) if options.json else _print(result)
    if options.out:
        band = Band(floods[shown : shown + 1], 0)
        top, left, size = CROP
        shown_images = {
            name: band.through(smooth)[0][top : top + size, left : left + size] for name, smooth in FILTERS.items()
        }
        draw(options.out, result, shown_images)
    return 0


def _options() -> argparse.Namespace:
    default = os.environ.get("SARPIPE_REAL_DATA", ROOT.parent / "shared" / "data" / "sentinel1")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(default), help="folder of real data")
    parser.add_argument("--out", type=Path, help="where the figure goes; none is drawn without it")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def _estimator_check() -> dict[str, float]:
    """The mode of local looks where the truth is known: flat ground under gamma speckle of 4.4 looks.

    Independent, and as the simulator's sensor sees it: neighbours correlated, then geocoded.
    """
    rng = np.random.default_rng(0)
    shape, every = (264, 264), np.ones((264, 264), bool)
    independent = [(10 * np.log10(rng.gamma(4.4, 1 / 4.4, shape))).astype(np.float32) for _ in range(8)]
    sensed = [observe(rng, np.full(shape, -12, np.float32), noisy=False) for _ in range(8)]
    return {
        name: mode(np.concatenate([local_looks(image, every).ravel() for image in images]))
        for name, images in (("independent", independent), ("sensor", sensed))
    }


def _enl(dates: NDArray[np.float32]) -> dict[str, Any]:
    """Looks before and after, in the windows that are homogeneous before: those at and above the mode."""
    found: dict[str, Any] = {}
    for polarisation, name in enumerate(("VV", "VH")):
        band = Band(dates, polarisation)
        raw = band.looks(band.through(FILTERS["raw"]))
        whole = np.isfinite(raw)
        at = mode(raw[whole])
        flat = whole & (raw >= at)
        found[name] = {"windows": int(whole.sum()), "flat_windows": int(flat.sum()), "mode": at}
        found[name]["quantile_95"] = float(np.quantile(raw[whole], 0.95))
        for filter_name, smooth in FILTERS.items():
            images = band.through(smooth)
            found[name][filter_name] = float(np.nanmedian(band.looks(images)[flat]))
            found[name][f"{filter_name}_in_the_cube"] = float(np.nanmedian(band.looks(band.anti_aliased(images))[flat]))
            found[name][f"{filter_name}_moves_db"] = _moved(band.images, images)
    return found


def _moved(before: list[Image], after: list[Image]) -> float:
    """Root mean square of what a filter changes, dB."""
    return float(np.sqrt(np.mean([np.nanmean((a - b) ** 2) for a, b in zip(before, after, strict=True)])))


def _composite(places: NDArray[np.float32]) -> dict[str, Any]:
    """Monthly composites ``[n, dates, 2, y, x]``: their looks without texture, and what the filter does to them.

    The difference in dB of two dates holds no texture that stays, and twice the variance of speckle. What changed
    between the months is in it too, so the looks are a lower bound.
    """
    found: dict[str, Any] = {}
    band = Band(places.reshape(-1, *places.shape[2:]), 0)
    for polarisation, name in enumerate(("VV", "VH")):
        deviations = []
        for difference in np.diff(places[:, :, polarisation], axis=1).reshape(-1, *places.shape[-2:]).astype(float):
            variance = uniform_filter(difference**2, WINDOW) - uniform_filter(difference, WINDOW) ** 2
            inside = np.s_[WINDOW // 2 : -(WINDOW // 2) : WINDOW // 2]
            deviations.append(np.sqrt(variance[inside, inside].ravel() / 2 * WINDOW**2 / (WINDOW**2 - 1)))
        speckle = mode(np.concatenate(deviations))
        looks = brentq(lambda value, db=speckle: speckle_std_db(value) - db, 1, 1000)
        found[name] = {"speckle_db": speckle, "looks": float(looks)}
    for looks in (4.4, 35.0, 45.0):
        smooth = bilateral_filter(RECIPE.sigma_range_looks, RECIPE.sigma_space, looks)
        images = band.through(smooth)
        found[f"looks={looks:g}"] = {
            "sigma_range_db": 2 * speckle_std_db(looks),
            "moves_db": _moved(band.images, images),
        }
    return found


def _outside(dates: NDArray[np.float32]) -> dict[str, float]:
    """Shares of valid VV pixels below and above the window of grey levels, before and after the filter."""
    band = Band(dates, 0)
    low, high = RECIPE.window_db
    found = {}
    for name in ("raw", "sar"):
        values = np.concatenate(
            [image[mask] for image, mask in zip(band.through(FILTERS[name]), band.masks, strict=True)]
        )
        found |= {f"{name}_below": float((values < low).mean()), f"{name}_above": float((values > high).mean())}
        found |= {f"{name}_quantile_{q}": float(np.quantile(values, q)) for q in (0.001, 0.999)}
    return found


def _edges(floods: NDArray[np.float32], water: NDArray[np.int8]) -> dict[str, Any]:
    """Profiles across shores, bright points, and the curve of speckle against sharpness."""
    kept = [i for i, label in enumerate(water) if (label == 1).mean() > 0.1 and (label == 0).mean() > 0.1]
    band = Band(floods, 0)
    shores = [shore_of(water[i] == 1, water[i] == 0) for i in kept]
    points = [bright_points(image, mask) for image, mask in zip(band.images, band.masks, strict=True)]
    raw = band.looks(band.through(FILTERS["raw"]))
    flat = np.isfinite(raw) & (raw >= mode(raw[np.isfinite(raw)]))
    steps, step_shore = _simulated_steps()
    everywhere = np.ones(steps[0].shape, bool)

    def judged(smooth: Filter) -> dict[str, Any]:
        images = band.through(smooth)
        across = profile([images[i] for i in kept], shores)
        in_cube = band.anti_aliased(images)
        above = above_surroundings(images, points)
        across_step = profile([smooth(image, everywhere) for image in steps], [step_shore] * len(steps))
        return {
            "enl": float(np.nanmedian(band.looks(images)[flat])),
            "edge_px": width(across),
            "step_px": width(across_step),
            "points_db": float(np.median(above)),
            "cube_enl": float(np.nanmedian(band.looks(in_cube)[flat])),
            "cube_edge_px": width(profile([in_cube[i] for i in kept], shores)),
            "profile_db": across.tolist(),
        }

    return {
        "shores": {
            "scenes": len(kept),
            "pixels": int(sum((shore.near & (np.abs(shore.distance) < 8)).sum() for shore in shores)),
            "shifts": [best_shift(band.images[i], shore) for i, shore in zip(kept, shores, strict=True)],
            "points": int(sum(len(p.around) for p in points)),
        },
        "filters": {name: judged(smooth) for name, smooth in FILTERS.items()},
        "trade_off": [
            {"space": space, "range": deviations, **judged(bilateral_filter(deviations, space))}
            for space in SPACES
            for deviations in RANGES
        ],
        "guided": [{"range": deviations, **judged(guided_filter(deviations))} for deviations in GUIDED],
    }


def _simulated_steps() -> tuple[list[Image], Shore]:
    """Eight straight shores between water of -20 and land of -9.5 dB, as the simulator's sensor sees them."""
    rng = np.random.default_rng(1)
    ground = (np.where(np.arange(64) < 32, -20.0, -9.5) * np.ones((256, 1))).astype(np.float32)
    return [observe(rng, ground, noisy=False) for _ in range(8)], shore_of(ground < -15, ground > -15)


def _flicker(dates: NDArray[np.float32]) -> dict[str, Any]:
    """How much equalised VV of unchanged ground moves when a ship of 5 x 20 pixels and +20 dB lies there at one of four
    dates: temporal deviation over spatial deviation, and the offset of the ship's date in grey levels.

    The ground is a real scene, smoothed; each date has its own speckle, or the same one. What the tables of the ship's
    tile can reach does not count.
    """
    every = np.ones(dates.shape[-2:], bool)
    db = np.where(np.isfinite(dates[0]), dates[0], np.nanmean(dates[0]))
    ground = gaussian_filter(disc_mean(db.astype(np.float32), every), 2)
    y, x = 20, 20
    unchanged = every.copy()
    unchanged[:100, :100] = False
    rng = np.random.default_rng(2)

    def levels(
        images: list[Image], smooth: Filter, to_grey: Callable[[Image], NDArray[np.uint8]]
    ) -> NDArray[np.float32]:
        return np.stack([clahe(to_grey(smooth(image, every)), every) for image in images]).astype(np.float32)

    found: dict[str, Any] = {}
    ways: dict[str, tuple[Filter, Callable[[Image], NDArray[np.uint8]]]] = {
        "sar, fixed window": (FILTERS["sar"], lambda db: grey.of_window(db, RECIPE.window_db)),
        "sar, min-max": (FILTERS["sar"], grey.of_extent),
        "original (disc mean, min-max)": (FILTERS["original"], grey.of_extent),
    }
    one = observe(rng, ground, noisy=True)
    for speckle, images in {
        "same": [one.copy() for _ in range(4)],
        "new": [observe(rng, ground, noisy=True) for _ in range(4)],
    }.items():
        images[1][y : y + 5, x : x + 20] = 20
        for name, (smooth, to_grey) in ways.items():
            seen = levels(images, smooth, to_grey)[:, unchanged]
            found.setdefault(name, {})[f"{speckle}_speckle"] = {
                "temporal_over_spatial": float(seen.std(axis=0).mean() / seen.mean(axis=0).std()),
                "offset_levels": float((seen[1] - seen[[0, 2, 3]].mean(axis=0)).mean()),
            }
    return found


def _print(result: dict[str, Any]) -> None:
    check = result["estimator_on_flat_ground"]
    print("Deviation of speckle, dB: " + ", ".join(f"{k} looks {v:.2f}" for k, v in result["speckle_std_db"].items()))
    print(
        f"Mode of mean^2/variance over {WINDOW} x {WINDOW} px on simulated flat ground of 4.4 looks:"
        f" independent {check['independent']:.2f}, through the sensor {check['sensor']:.2f}\n"
    )
    print(
        f"ENL in homogeneous windows   {'mode':>6} {'q95':>6} | {'raw':>6} {'sar':>6} {'original':>8}"
        f" | in the cube: {'raw':>6} {'sar':>6} {'original':>8} | moves pixels, dB: {'sar':>5} {'original':>8}"
        " | windows"
    )
    for name, bands in result["enl"].items():
        for band, row in bands.items():
            print(
                f"  {name + ' ' + band:26} {row['mode']:6.1f} {row['quantile_95']:6.1f}"
                f" | {row['raw']:6.1f} {row['sar']:6.1f} {row['original']:8.1f} |"
                f" {row['raw_in_the_cube']:19.1f} {row['sar_in_the_cube']:6.1f} {row['original_in_the_cube']:8.1f}"
                f" | {row['sar_moves_db']:23.2f} {row['original_moves_db']:8.2f}"
                f" | {row['flat_windows']} of {row['windows']}"
            )
    composite = result["composite"]
    print("\nMonthly composites, from differences between dates (texture cancels):")
    for band in ("VV", "VH"):
        print(
            f"  {band}: speckle of {composite[band]['speckle_db']:.2f} dB, {composite[band]['looks']:.0f} looks or more"
        )
    for name, row in composite.items():
        if "moves_db" in row:
            print(f"  {name}: range sigma {row['sigma_range_db']:.2f} dB, moves VV by {row['moves_db']:.2f} dB")
    shores = result["shores"]
    print(
        f"\n{shores['scenes']} scenes of Sen1Floods11 with shores, {shores['pixels']:,} pixels within 8 of them,"
        f" {shores['points']} bright points\n  best shifts of the masks: {shores['shifts']}"
    )
    header = f"{'ENL':>7} {'shore px':>9} {'step px':>8} {'points dB':>10} | in the cube: {'ENL':>6} {'shore px':>9}"
    print(f"\n{'filter, VV':34} {header}")
    rows = [(name, row) for name, row in result["filters"].items()]
    rows += [(f"bilateral, range {r['range']:g}, space {r['space']:g}", r) for r in result["trade_off"]]
    rows += [(f"guided, range {r['range']:g}, space 3", r) for r in result["guided"]]
    for name, row in rows:
        print(
            f"  {name:32} {row['enl']:7.1f} {row['edge_px']:9.2f} {row['step_px']:8.2f} {row['points_db']:10.1f}"
            f" | {row['cube_enl']:19.1f} {row['cube_edge_px']:9.2f}"
        )
    print("\nMean VV across the shore, dB, at -7.5 .. 7.5 px")
    for name, row in result["filters"].items():
        print(f"  {name:10}" + " ".join(f"{value:6.1f}" for value in row["profile_db"]))
    print("\nVV outside the window of -30..5 dB")
    for name, row in result["outside_window"].items():
        print(
            f"  {name:22} raw {row['raw_below']:.4%} below, {row['raw_above']:.4%} above;"
            f" sar {row['sar_below']:.4%}, {row['sar_above']:.4%};"
            f" 0.1 to 99.9 % of raw: {row['raw_quantile_0.001']:.1f} to {row['raw_quantile_0.999']:.1f} dB"
        )
    print(
        "\nFlicker of unchanged ground after CLAHE, a ship at one of four dates: temporal / spatial deviation, offset"
    )
    for name, row in result["flicker"].items():
        print(
            f"  {name:30}"
            + "; ".join(
                f"{kind.replace('_', ' ')}: {value['temporal_over_spatial']:.3f}, {value['offset_levels']:+.1f} levels"
                for kind, value in row.items()
            )
        )


if __name__ == "__main__":
    sys.exit(main())

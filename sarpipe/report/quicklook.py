"""Quicklook: the twelve channels of a few places as small pictures, all on the same scales."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray
from PIL import Image

from sarpipe.channels import CHANNELS, CUBE_SIZE, FEATURES, PIXEL_SPACING_M, PLACE_SIZE, STATISTICS
from sarpipe.cubes import CubeSet
from sarpipe.report.chart import png
from sarpipe.report.markup import Html, join, number, paragraph, section, table, text
from sarpipe.report.projection import farthest_places, principal_components

SHOWN = 6
"""So many places are shown."""

NO_DATA = (230, 66, 200)
"""Red, green and blue of a pixel without data: in none of the colour maps."""

_COLOURS = {"mean": "gray", "std": "viridis", "diff": "RdBu_r"}
UNITS = {"vv": "dB", "vh": "dB", "clahe": "grey levels", "edge": "Sobel of grey levels"}
_MEAN_PERCENTILES = (1.0, 99.0)
"""Wide enough that a lake of a few per cent of the pixels stays darker than bare fields."""

_CHANGE_PERCENTILE = 98.0
_LEVELS = 255
"""Grey levels 0 to 254 are values; 255 is no data."""


@dataclass(frozen=True)
class Scale:
    """How the values of one channel become colours; values outside take the colour of the nearer end.

    Attributes:
        colours: Name of the colour map.
        low, high: Values (in the unit of the channel) of its first and last colour; NaN where no pixel has data.
    """

    colours: str
    low: float
    high: float

    def levels(self, image: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Values of any shape to 0..254 along the colour map, 255 where there is no data, or no scale to see it on."""
        if not np.isfinite(self.low):
            return np.full(image.shape, _LEVELS, np.uint8)
        span = max(self.high - self.low, 1e-6)
        valid = np.isfinite(image)
        share = np.clip((np.where(valid, image, 0) - self.low) / span, 0, 1)
        return np.where(valid, np.rint(share * (_LEVELS - 1)), _LEVELS).astype(np.uint8)

    def palette(self) -> NDArray[np.uint8]:
        """The colour of each level, ``uint8 [256, 3]``."""
        colours = mpl.colormaps[self.colours](np.linspace(0, 1, _LEVELS))[:, :3]
        return np.vstack([np.rint(colours * 255).astype(np.uint8), np.array([NO_DATA], np.uint8)])


def quicklook_section(places: CubeSet, vectors: NDArray[np.float32]) -> Html:
    """Up to `SHOWN` places that lie far apart among the embeddings, each with its twelve channels.

    Args:
        places: At least one.
        vectors: Their embeddings ``[N, D]``, finite.
    """
    rows = chosen_places(vectors)
    scales = channel_scales(places.cubes[rows])
    how = f"Shown: {len(rows)} of {len(places.ids):,} {'place' if len(places.ids) == 1 else 'places'}"
    if len(rows) < len(places.ids):
        how += ", chosen to lie far apart among the embeddings: they show the range, not the average"
    width_km = PLACE_SIZE * PIXEL_SPACING_M / 1000
    return section(
        "quicklook",
        "Quicklook of the cubes",
        paragraph(text(f"{how}. Each picture is {CUBE_SIZE} by {CUBE_SIZE} pixels and {width_km:.2f} km wide.")),
        legend(scales),
        *(place_article(places.ids[row], places.cubes[row], places.index.iloc[row], scales) for row in rows),
    )


def chosen_places(vectors: NDArray[np.float32]) -> list[int]:
    """Up to `SHOWN` rows of embeddings ``[N, D]`` that lie far apart, in order."""
    components, _ = principal_components(vectors, 8)
    return farthest_places(components, SHOWN)


def quicklook_png(places: CubeSet, rows: Sequence[int]) -> bytes:
    """The twelve channels of the places at ``rows`` (at least one) as one PNG on white, a row of pictures each."""
    scales = channel_scales(places.cubes[list(rows)])
    layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, hspace=0, wspace=0)
    figure = Figure(figsize=(len(CHANNELS), len(rows) + 0.3), dpi=72, layout=layout)
    grid = figure.subplots(len(rows), len(CHANNELS), squeeze=False)
    for line, row in zip(grid, rows, strict=True):
        line[0].set_ylabel(places.ids[row][:18], fontsize=7, parse_math=False)
        for axes, image, scale in zip(line, places.cubes[row], scales, strict=True):
            axes.imshow(scale.palette()[scale.levels(image)], interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
    for axes, channel in zip(grid[0], CHANNELS, strict=True):
        axes.set_title(channel, fontsize=9)
    return png(figure)


def channel_scales(cubes: NDArray[np.float32]) -> list[Scale]:
    """The scale of each channel over all given cubes ``[n, 12, 64, 64]``, NaN where there is no data.

    Means run from the 1st to the 99th percentile, deviations from 0 to the 98th, differences from minus to plus
    the 98th percentile of their magnitude, so that no change is always the middle of the colour map.
    """
    return [_scale(channel.partition("_")[0], cubes[:, place]) for place, channel in enumerate(CHANNELS)]


def _scale(statistic: str, values: NDArray[np.float32]) -> Scale:
    colours = _COLOURS[statistic]
    known = values[np.isfinite(values)]
    if not known.size:
        return Scale(colours, np.nan, np.nan)
    if statistic == "mean":
        low, high = np.percentile(known, _MEAN_PERCENTILES)
        return Scale(colours, float(low), float(high))
    high = float(np.percentile(np.abs(known), _CHANGE_PERCENTILE))
    return Scale(colours, 0.0 if statistic == "std" else -high, high)


def legend(scales: Sequence[Scale]) -> Html:
    """What the colours of the pictures mean: a table of the scales of all channels."""
    grid = [scales[start : start + len(FEATURES)] for start in range(0, len(scales), len(FEATURES))]
    rows = [
        (Html(f"{text(statistic)} {_ramp(line[0])}"), *(_range(scale) for scale in line))
        for statistic, line in zip(STATISTICS, grid, strict=True)
    ]
    head = ["over the dates", *(f"{feature}, {UNITS[feature]}" for feature in FEATURES)]
    swatch = f'<span class="swatch" style="background:rgb{NO_DATA}"></span>'
    words = (
        "Means from the 1st to the 99th percentile of these places, bright is high. Deviations (std) from 0 to the "
        "98th percentile. Differences (diff) are last date minus first: red rose, blue fell. No data: "
    )
    return Html(
        table("Value range of each channel, the same for all places shown", head, rows)
        + paragraph(Html(f"{text(words)}{swatch}"), "note")
    )


def _range(scale: Scale) -> Html:
    if not np.isfinite(scale.low):
        return text("no data")
    digits = 1 if max(abs(scale.low), abs(scale.high)) < 100 else 0
    return Html(f"{number(scale.low, digits)} to {number(scale.high, digits)}")


def place_article(name: str, cube: NDArray[np.float32], record: pd.Series | None, scales: Sequence[Scale]) -> Html:
    """One place with its twelve channels.

    Args:
        name: Its heading.
        cube: ``float32 [12, 64, 64]``, NaN where there is no data.
        record: What is known of it, a row of `sarpipe.cubes.CubeSet.index`; None: nothing.
        scales: One a channel, from `channel_scales`.
    """
    identity = text(name)
    pictures = join(
        Html(
            f'<figure><img src="{_picture(scale, image)}" width="{CUBE_SIZE}" height="{CUBE_SIZE}" '
            f'alt="{channel} of {identity}"><figcaption>{text(channel)}</figcaption></figure>'
        )
        for channel, image, scale in zip(CHANNELS, cube, scales, strict=True)
    )
    known = () if record is None else (_position(record), *_acquisitions(record), *_flags(record))
    facts = join((Html(f"<span>{text(fact)}</span>") for fact in known), " · ")
    return Html(
        f'<article class="place"><h3>{identity}</h3>\n{paragraph(facts, "note")}\n'
        f'<div class="channels">{pictures}</div></article>'
    )


def _position(record: pd.Series) -> str:
    if pd.isna(record["latitude"]) or pd.isna(record["longitude"]):
        return "position not known"
    return f"latitude {record['latitude']:.4f}, longitude {record['longitude']:.4f}".replace("-", "−")


def _acquisitions(record: pd.Series) -> list[str]:
    known = [_acquisition(*pair) for pair in zip(record["dates"], record["orbit_passes"], strict=True)]
    return [words or "date not known" for words in known] if any(known) else ["dates and orbits not known"]


def _flags(record: pd.Series) -> list[str]:
    """Quality flags in words; ``mixed_passes`` is seen from the dates already."""
    return [flag.replace("_", " ") for flag in record.get("flags", []) if flag != "mixed_passes"]


def _acquisition(date: object, orbit: str) -> str:
    stamp = pd.Timestamp(date)  # type: ignore[arg-type]
    day = [] if pd.isna(stamp) else [f"{stamp:%Y-%m-%d}"]
    return " ".join(day + ([] if orbit == "unknown" else [orbit]))


def _ramp(scale: Scale) -> Html:
    levels = np.arange(_LEVELS, dtype=np.uint8)[None]
    return Html(f'<img class="ramp" src="{_data_uri(levels, scale)}" width="80" height="10" alt="">')


def _picture(scale: Scale, image: NDArray[np.float32]) -> str:
    return _data_uri(scale.levels(image), scale)


def _data_uri(levels: NDArray[np.uint8], scale: Scale) -> str:
    picture = Image.fromarray(levels, mode="P")
    picture.putpalette(scale.palette().tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")

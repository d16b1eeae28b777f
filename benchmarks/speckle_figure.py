"""The figure of docs/preprocessing.md: a scene before and after, a profile across its shores, and the trade-off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from numpy.typing import NDArray

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

TITLES = {"raw": "raw", "sar": "recipe sar", "original": "recipe original (disc mean)"}
COLOURS = {"raw": "#555555", "sar": "#c1272d", "original": "#0060a8"}


def draw(path: Path, result: dict[str, Any], crops: dict[str, NDArray[np.float32]]) -> None:
    """Write the figure as a PNG.

    Args:
        path: Where to.
        result: What `speckle.py` measured.
        crops: VV in dB of the same pixels: raw and through both recipes.
    """
    plt.rcParams.update({"font.size": 10, "axes.titlesize": 11, "axes.spines.top": False, "axes.spines.right": False})
    figure = plt.figure(figsize=(12, 8.6), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1.12, 1))
    scene = above.subplots(1, 3)
    for axis, (name, crop) in zip(scene, crops.items(), strict=True):
        shown = axis.imshow(crop, cmap="gray", vmin=-26, vmax=2, interpolation="nearest")
        row = result["filters"][name]
        axis.set_title(f"{TITLES[name]}\nENL {row['enl']:.1f}, shores {row['edge_px']:.1f} px wide")
        axis.set_axis_off()
    above.colorbar(shown, ax=scene, label="VV, dB", shrink=0.8, pad=0.01)
    measured = below.subplots(1, 3)
    _profile(measured[0], result["filters"])
    _looks(measured[1], result["enl"])
    _trade_off(measured[2], result)
    figure.savefig(path, dpi=100, format="png", pil_kwargs={"optimize": True}, metadata={"Software": None})
    plt.close(figure)


def _profile(axis: Axes, filters: dict[str, Any]) -> None:
    at = np.arange(-8, 8) + 0.5
    for name, row in filters.items():
        axis.plot(at, row["profile_db"], color=COLOURS[name], label=f"{TITLES[name].split(' (')[0]}", lw=1.8)
    axis.axvline(0, color="#aaaaaa", lw=0.8, zorder=0)
    axis.set(xlabel="distance from the water line, px (land > 0)", ylabel="mean VV, dB", title="Across the shores")
    axis.legend(frameon=False)


def _looks(axis: Axes, enl: dict[str, Any]) -> None:
    rows = [(f"{source} {band}", row) for source, bands in enl.items() for band, row in bands.items()]
    for y, (_, row) in enumerate(rows):
        axis.plot([row["raw"], row["original"]], [y, y], color="#cccccc", lw=2, zorder=0)
        for name, colour in COLOURS.items():
            axis.plot(row[name], y, "o", color=colour, label=TITLES[name].split(" (")[0] if y == 0 else None)
    axis.set_yticks(range(len(rows)), [label for label, _ in rows], fontsize=8)
    axis.invert_yaxis()
    ticks = [5, 10, 20, 50, 100]
    axis.set_xscale("log")
    axis.set_xticks(ticks, [str(tick) for tick in ticks])
    axis.minorticks_off()
    axis.set(xlabel="equivalent looks in homogeneous windows", title="Speckle before and after")


def _trade_off(axis: Axes, result: dict[str, Any]) -> None:
    shades = ("#e0b050", "#e08030", "#c1272d", "#702060")
    spaces = sorted({row["space"] for row in result["trade_off"]})
    for space, colour in zip(spaces, shades, strict=True):
        rows = [row for row in result["trade_off"] if row["space"] == space]
        axis.plot(
            [row["edge_px"] for row in rows],
            [row["enl"] for row in rows],
            ".-",
            color=colour,
            label=f"bilateral, {space:g} px",
        )
    guided = result["guided"]
    axis.plot(
        [row["edge_px"] for row in guided], [row["enl"] for row in guided], ".--", color="#2a8c4a", label="guided, 3 px"
    )
    for name, marker in (("raw", "s"), ("sar", "*"), ("original", "D")):
        row = result["filters"][name]
        size = 15 if name == "sar" else 7
        axis.plot(row["edge_px"], row["enl"], marker, color=COLOURS[name], ms=size, mec="black", mew=0.7, zorder=5)
        label = {"raw": "no filter", "sar": "default", "original": "original"}[name]
        axis.annotate(label, (row["edge_px"], row["enl"]), xytext=(7, -12), textcoords="offset points")
    axis.set(xlabel="10-90 % width of the shores, px", ylabel="ENL after", title="Range sigma from 0.5 to 4 deviations")
    axis.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1.0, 0.08))

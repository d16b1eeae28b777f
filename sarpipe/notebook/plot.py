"""A picture of places for a notebook."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sarpipe.embeddings import Embeddings
from sarpipe.errors import UsageError
from sarpipe.notebook.labels import Labels, read_labels
from sarpipe.report.chart import INK, MARKERS, PALETTE, inline_svg, new_axes, short
from sarpipe.report.projection import principal_components
from sarpipe.storage.durable import write_out

Kind = Literal["map", "projection"]
_MANY = 1500
"""More points than these are drawn as one picture within the drawing."""


@dataclass(frozen=True)
class Plot:
    """A picture; a notebook shows it, light or dark.

    Attributes:
        figure: For who wants to change it.
        description: What it shows, for who does not see it.
    """

    figure: Figure
    description: str

    def _repr_html_(self) -> str:
        drawing = inline_svg(self.figure, "places", self.description)
        return f'<div style="max-width:44rem;--rule:#88888855">{drawing}</div>'

    def save(self, path: str | Path) -> None:
        """Write it to a file, in the format that its name ends with: ``.png``, ``.svg``, ``.pdf``.

        Raises:
            UsageError: Its name ends otherwise, or its folder is not there.
            StorageError: The disk is full, or the file cannot be written.
        """
        kinds, there = self.figure.canvas.get_supported_filetypes(), Path(path).resolve().parent
        if Path(path).suffix[1:] not in kinds:
            raise UsageError(f"{path} has no ending of a picture", "For example plot.png, plot.svg or plot.pdf")
        if not there.is_dir():
            raise UsageError(f"{path}: {there} is no folder", "Make it first")
        kind = Path(path).suffix[1:]
        write_out(Path(path), lambda file: self.figure.savefig(file, dpi=200, facecolor="white", format=kind))


def draw(embeddings: Embeddings, color: Labels | None, kind: Kind) -> Plot:
    """See `sarpipe.notebook.places.Places.plot`."""
    if kind not in get_args(Kind):
        raise UsageError(f"kind is {kind!r}", f"Take one of {', '.join(map(repr, get_args(Kind)))}")
    points, axes_names = _points(embeddings, kind)
    figure, axes = new_axes(560, 380, *axes_names)
    axes.set_axisbelow(True)
    there = np.isfinite(points).all(axis=1)
    if not there.any():
        raise UsageError("no place is at a known position", "Draw the embeddings: plot(kind='projection')")
    said = f"{int(there.sum()):,} places as a {kind}"
    if color is None:
        _scatter(axes, points[there], color=PALETTE[0])
        return Plot(figure, said)
    values = _values(color, embeddings.ids)
    known = there & values.notna().to_numpy()
    if not known.any():
        raise UsageError("none of the places has a value", f"Ids here look like {embeddings.ids[0]!r}")
    _scatter(axes, points[there & ~known], color=INK, alpha=0.25)
    shown = values[known]
    name = str(values.name)
    if pd.api.types.is_numeric_dtype(shown):
        drawn = _scatter(axes, points[known], c=shown.to_numpy(np.float64), cmap="viridis")
        bar = figure.colorbar(drawn, ax=axes, location="top", shrink=0.6, aspect=30, pad=0.02)
        bar.set_label(short(name), color=INK, parse_math=False)
        bar.ax.tick_params(colors=INK)
        bar.outline.set_visible(False)
    else:
        _classes(figure, axes, points[known], shown.astype(str).to_numpy(str))
    return Plot(figure, f"{said}, by {name}; {int(known.sum()):,} have a value")


def _points(embeddings: Embeddings, kind: Kind) -> tuple[NDArray[np.float64], tuple[str, str]]:
    if kind == "map":
        table = embeddings.index[["longitude", "latitude"]].to_numpy(np.float64)
        return table, ("longitude (degrees)", "latitude (degrees)")
    points, shares = principal_components(embeddings.vectors, 2)
    first, second = (f"component {i} ({100 * share:.1f} % of variance)" for i, share in enumerate(shares, 1))
    return points, (first, second)


def _values(color: Labels, ids: tuple[str, ...]) -> pd.Series:
    table = read_labels(color).table.set_index("id")
    if table.shape[1] != 1:
        names = ", ".join(map(str, table.columns))
        raise UsageError(f"a plot shows one label, not {table.shape[1]}", f"Choose one of {names}")
    return table.iloc[:, 0].reindex(list(ids))


def _classes(figure: Figure, axes: Axes, points: NDArray[np.float64], values: NDArray[np.str_]) -> None:
    names, counts = np.unique(values, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    for name, colour, marker in zip(names[order], PALETTE, MARKERS, strict=False):
        _scatter(axes, points[values == name], color=colour, marker=marker, label=short(str(name)))
    rest = ~np.isin(values, names[order[: len(PALETTE)]])
    if rest.any():
        _scatter(axes, points[rest], color=INK, marker=".", label="other")
    legend = figure.legend(loc="outside upper left", ncols=4, frameon=False, labelcolor=INK, handletextpad=0.1)
    for label in legend.get_texts():
        label.set_parse_math(False)


def _scatter(axes: Axes, points: NDArray[np.float64], **style: Any) -> PathCollection:
    size = float(np.clip(9000 / max(len(points), 1), 3, 40))
    many = len(points) > _MANY
    x, y = points.T
    return axes.scatter(x, y, s=size, linewidths=0, rasterized=many, **{"alpha": 0.85, **style})

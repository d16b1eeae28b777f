"""The embeddings seen in two dimensions: principal components of the standardised vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from numpy.typing import NDArray

from sarpipe.channels import CHANNELS
from sarpipe.cubes import CubeSet
from sarpipe.evaluate.classes import SHARE, dominant
from sarpipe.report.chart import INK, MARKERS, PALETTE, captioned, inline_svg, new_axes, short
from sarpipe.report.markup import Html, join, paragraph, section, text
from sarpipe.standard import Standard

_MAX_VECTOR_POINTS = 1500
"""Beyond so many places the points are embedded as one picture, which keeps the page small."""

_FEWEST = 3
_MAX_CLASSES = len(PALETTE)
UNKNOWN = "not known"
"""The class of a place of which it is not known."""


def projection_section(places: CubeSet, vectors: NDArray[np.float32], labels: pd.DataFrame | None = None) -> Html:
    """Two views of the same projection: by class (`class_of`) or latitude, and by mean VV."""
    heading = "Projection of the embeddings"
    if len(vectors) < _FEWEST:
        words = f"A projection needs at least {_FEWEST} places; there are {len(vectors)}."
        return section("projection", heading, paragraph(text(words)))
    points, shares = principal_components(vectors, 2)
    if not shares.any():
        return section("projection", heading, paragraph(text("All embeddings are equal: there is nothing to project.")))
    kinds = class_of(places, labels)
    views = [
        _class_view(points, shares, kinds)
        if kinds is not None
        else _value_view(points, shares, _latitudes(places), "latitude (degrees)", "latitude"),
        _value_view(points, shares, mean_vv(places), "mean VV (dB)", "brightness"),
    ]
    note = (
        "Each point is a place; axes are the first two principal components of the embeddings, every dimension "
        "standardised. If the brightness view alone explained the order of the points, the embeddings would say "
        "little more than a mean backscatter does."
    )
    charts = Html(f'<div class="charts">{join(view for view in views if view)}</div>')
    return section("projection", heading, charts, paragraph(text(note), "note"))


def principal_components(vectors: NDArray[np.float32], count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Principal component scores of the standardised vectors, and the share of variance of each.

    Signs are fixed (the score of largest magnitude is positive), so that the same vectors give the same picture.

    Args:
        vectors: ``[N, D]``, finite. Dimensions that do not vary are left out.
        count: Number of components; those beyond the rank are 0.

    Returns:
        Scores ``float64 [N, count]`` and explained variance ratios ``float64 [count]``.
    """
    standard = Standard.of(vectors)(vectors)
    scores, shares = np.zeros((len(standard), count)), np.zeros(count)
    if not standard.any():
        return scores, shares
    found, variances = _eigen_scores(standard, min(count, *standard.shape))
    found *= np.sign(found[np.abs(found).argmax(axis=0), np.arange(found.shape[1])])
    scores[:, : found.shape[1]] = found
    shares[: found.shape[1]] = variances / np.square(standard).sum()
    return scores, shares


def farthest_places(points: NDArray[np.float64], count: int) -> list[int]:
    """Rows that spread over the point cloud: from the most central one, always the farthest from those chosen.

    Farthest-point sampling (Gonzalez 1985). Ties go to the first row; the result is sorted.
    """
    central = int(np.square(points - points.mean(axis=0)).sum(axis=1).argmin())
    chosen = [central]
    distance = np.square(points - points[central]).sum(axis=1)
    while len(chosen) < min(count, len(points)):
        distance[chosen] = -1
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.square(points - points[chosen[-1]]).sum(axis=1))
    return sorted(chosen)


def dominant_class(places: CubeSet) -> pd.Series | None:
    """The class with the largest ``fraction_*`` of the truth for each place, `UNKNOWN` where that is not known, or
    None where there are no such classes.
    """
    found = dominant(places.truth, list(places.ids))
    if found is None or places.truth is None or not (found >= 0).any():
        return None
    shares = places.truth.filter(regex=f"^{SHARE}").columns
    names = [str(name).removeprefix(SHARE).replace("_", " ") for name in shares]
    return pd.Series([names[code] if code >= 0 else UNKNOWN for code in found])


def class_of(places: CubeSet, labels: pd.DataFrame | None) -> pd.Series | None:
    """The class of each place: of the first column of classes among the labels, else `dominant_class`."""
    if labels is not None:
        given = labels.set_index("id").select_dtypes(exclude="number").reindex(list(places.ids))
        for name in given:
            if given[name].notna().any():
                return given[name].fillna(UNKNOWN).astype(str).reset_index(drop=True)
    return dominant_class(places)


def class_counts(classes: pd.Series) -> pd.Series:
    """Places of each class, the largest class first; the order in which classes get their colours and markers."""
    return classes.value_counts(sort=False).sort_index().sort_values(ascending=False, kind="stable")


def mean_vv(places: CubeSet) -> NDArray[np.float64]:
    """Mean of channel ``mean_vv`` over the pixels with data, dB, ``[N]``; NaN where a place has none."""
    channel = places.cubes[:, CHANNELS.index("mean_vv")]
    valid = np.isfinite(channel)
    count = valid.sum(axis=(1, 2))
    total = channel.sum(axis=(1, 2), dtype=np.float64, where=valid)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _eigen_scores(standard: NDArray[np.float64], count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows, columns = standard.shape
    if rows <= columns:
        variances, vectors = np.linalg.eigh(standard @ standard.T)
        variances = np.maximum(variances[::-1][:count], 0)
        return vectors[:, ::-1][:, :count] * np.sqrt(variances), variances
    variances, vectors = np.linalg.eigh(standard.T @ standard)
    return standard @ vectors[:, ::-1][:, :count], np.maximum(variances[::-1][:count], 0)


def _latitudes(places: CubeSet) -> NDArray[np.float64]:
    return places.index["latitude"].to_numpy(dtype=np.float64)


def _class_view(points: NDArray[np.float64], shares: NDArray[np.float64], classes: pd.Series) -> Html:
    figure, axes = new_axes(400, 380, _axis_label(1, shares), _axis_label(2, shares))
    counts = class_counts(classes)
    shown = list(counts.index[:_MAX_CLASSES])
    for name, colour, marker in zip(shown, PALETTE, MARKERS, strict=False):
        members = points[(classes == name).to_numpy()]
        _scatter(axes, members, len(points), color=colour, marker=marker, label=f"{short(name)} ({len(members)})")
    others = points[~classes.isin(shown).to_numpy()]
    if len(others):
        _scatter(axes, others, len(points), color=INK, marker=".", label=f"other ({len(others)})")
    legend = figure.legend(
        loc="outside upper left", ncols=3, frameon=False, labelcolor=INK, fontsize=10, handletextpad=0.1
    )
    for handle in legend.legend_handles:
        handle.set_sizes([30])  # type: ignore[union-attr]
    for label in legend.get_texts():
        label.set_parse_math(False)
    said = f"The {len(points):,} embeddings by their class, with the number of places of each."
    return captioned(inline_svg(figure, "classes", said), text(said))


def _value_view(
    points: NDArray[np.float64], shares: NDArray[np.float64], values: NDArray[np.float64], label: str, name: str
) -> Html:
    known = np.isfinite(values)
    if known.sum() < _FEWEST:
        return Html("")
    figure, axes = new_axes(400, 380, _axis_label(1, shares), _axis_label(2, shares))
    if not known.all():
        _scatter(axes, points[~known], len(points), color=INK, marker="x")
    drawn = _scatter(axes, points[known], len(points), c=values[known], cmap="plasma", marker="o")
    # The ends of the colour map vanish on a black or on a white page.
    low, high = np.percentile(values[known], [2, 98])
    high = max(high, low + 0.1)
    margin = (high - low) * 0.2
    drawn.set_clim(low - margin, high + margin)
    bar = figure.colorbar(drawn, ax=axes, location="top", shrink=0.6, aspect=30, pad=0.02)
    bar.set_label(label, color=INK, fontsize=11)
    bar.ax.set_xlim(low, high)
    bar.ax.tick_params(colors=INK, labelsize=10)
    bar.outline.set_visible(False)
    bar.solids.set_rasterized(True)  # type: ignore[union-attr]
    absent = "" if known.all() else f" Crosses: {int((~known).sum())} places where it is not known."
    said = f"The {len(points):,} embeddings by {label}.{absent}"
    return captioned(inline_svg(figure, name, said), text(said))


def _scatter(axes: Axes, points: NDArray[np.float64], total: int, **style: Any) -> PathCollection:
    size = float(np.clip(9000 / max(total, 1), 5, 60))
    many = total > _MAX_VECTOR_POINTS
    x, y = points.T
    return axes.scatter(x, y, s=size, alpha=0.8, linewidths=0.8, rasterized=many, **style)


def _axis_label(component: int, shares: NDArray[np.float64]) -> str:
    return f"component {component} ({100 * shares[component - 1]:.1f} % of variance)"

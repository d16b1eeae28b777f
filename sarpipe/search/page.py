"""A search as one HTML file that needs nothing else: map, hits and their channels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from numpy.typing import NDArray

from sarpipe.report.chart import ACCENT, INK, RULE, WARM, captioned, inline_svg, new_axes
from sarpipe.report.document import document
from sarpipe.report.explorer.script import land_rings
from sarpipe.report.markup import Html, join, number, paragraph, section, table, text
from sarpipe.report.quicklook import channel_scales, legend, place_article
from sarpipe.report.record import summary_list
from sarpipe.search.found import Found, Hit
from sarpipe.search.index import Index
from sarpipe.search.query import Query

Cubes = tuple[NDArray[np.float32], pd.DataFrame | None]
"""Cubes ``[n, 12, 64, 64]``, and what is known of them, a row each; None: nothing."""

_MANY = 1500
"""More places than these are drawn as one picture, which keeps the page small."""
LAND_FROM_DEGREES = 6
"""A narrower map has no land below it: its outline is simplified to 0.4 degrees."""
_NO_CUBES = "The cubes of these places are not there, so their channels cannot be shown."


def render(
    index: Index,
    query: Query,
    found: Found,
    shown: tuple[Cubes | None, Cubes | None],
    source: str,
    away: float | None = None,
) -> str:
    """The page.

    Args:
        index: All places.
        query: What was searched for.
        found: What was found.
        shown: Of the query (one), and of the hits in their order; None where they are not there.
        source: Which embeddings these are.
        away: How far the query is from the position that was asked for, km; None: none was.
    """
    facts = {
        **({} if away is None else {"from the position given": f"{away:,.1f} km"}),
        "compared": f"{found.searched:,} of {len(index):,} places",
        "left out as too near": f"{found.left_out:,}",
        "method": found.method,
        "embeddings": source,
    }
    title = f"Places like {query.name}"
    body = join([_map(index, query, found), _hits(found), _channels(query, found, shown)])
    header = Html(f"<header>\n<h1>{text(title)}</h1>\n{summary_list(facts)}\n</header>")
    return document(title, header, body, style=_STYLE)


_STYLE = """
#map .chart svg, #map figcaption { max-width: 46rem; }
#hits :is(th, td):is(:nth-child(2), :last-child) { text-align: left; }
#hits tbody th { min-width: 0; width: 1%; }
@media screen and (min-width: 90rem) { #channels { margin-left: -7rem; margin-right: -7rem; } }
"""


def dates_of(hit: Hit) -> str:
    """The days of a hit's dates."""
    return " ".join(str(date.astype("datetime64[D]")) for date in hit.dates)


def _map(index: Index, query: Query, found: Found) -> Html:
    known = np.isfinite(index.latitude) & np.isfinite(index.longitude)
    if not known.any():
        return section("map", "Map", paragraph(text("No place is at a known position.")))
    figure, axes = new_axes(560, 350, "longitude (degrees)", "latitude (degrees)")
    many = bool(known.sum() > _MANY)
    axes.scatter(
        index.longitude[known], index.latitude[known], s=3 if many else 10, color=INK, alpha=0.35, linewidths=0,
        rasterized=many,
    )  # fmt: skip
    hits = [hit for hit in found.hits if np.isfinite(hit.latitude + hit.longitude)]
    if np.isfinite(query.latitude + query.longitude):
        axes.scatter(query.longitude, query.latitude, s=150, color=WARM, marker="*", zorder=4)
    axes.scatter([hit.longitude for hit in hits], [hit.latitude for hit in hits], s=36, color=ACCENT, zorder=3)
    _number(axes, hits)
    axes.margins(0.04)
    axes.set_aspect("equal", adjustable="datalim")
    _draw_land(axes)
    said = (
        f"The {int(known.sum()):,} places at a known position; blue the {len(hits)} hits with their ranks, "
        "the star is the query."
    )
    return section("map", "Map", captioned(inline_svg(figure, "places", said), text(said)))


def _draw_land(axes: Axes) -> None:
    """The land below the places, where so much is shown that its coarse outline helps. The view stays as it is."""
    if max(axes.dataLim.width, axes.dataLim.height) > LAND_FROM_DEGREES:
        land = PolyCollection(land_rings(), facecolors=RULE, alpha=0.5, linewidths=0, zorder=0)
        axes.add_collection(land, autolim=False)


def _number(axes: Axes, hits: Sequence[Hit]) -> None:
    """Write the ranks beside the hits; hits at one spot share a label, which would else be drawn over each other."""
    spots: dict[tuple[float, float], list[Hit]] = {}
    low, high = np.array(axes.dataLim.min), np.array(axes.dataLim.max)
    cell = np.maximum(high - low, 1e-9) / 40
    for hit in hits:
        column, line = np.floor((np.array([hit.longitude, hit.latitude]) - low) / cell)
        spots.setdefault((float(column), float(line)), []).append(hit)
    for together in spots.values():
        axes.annotate(
            ", ".join(str(hit.rank) for hit in together),
            (together[0].longitude, together[0].latitude),
            xytext=(6, 5), textcoords="offset points", fontsize=12, color=INK, weight="bold", zorder=5,
        )  # fmt: skip


def _hits(found: Found) -> Html:
    head = ["rank", "place", "similarity", "distance, km", "latitude", "longitude", "dates"]
    rows = [
        (
            text(hit.rank),
            text(hit.id),
            number(hit.similarity, 3),
            _known(hit.distance_km, 1),
            _known(hit.latitude, 4),
            _known(hit.longitude, 4),
            text(dates_of(hit) or "not known"),
        )
        for hit in found.hits
    ]
    words = (
        "Similarity is the cosine of the embeddings, every dimension standardised over all places: the measure by "
        "which the retrieval of the evaluation is scored. 1 is the same, 0 is what two places have in common by chance."
    )
    return section(
        "hits", "Hits", table("The most similar places, the best first", head, rows), paragraph(text(words), "note")
    )


def _known(value: float, digits: int) -> Html:
    return number(value, digits) if np.isfinite(value) else text("not known")


def _channels(query: Query, found: Found, shown: tuple[Cubes | None, Cubes | None]) -> Html:
    asked, answered = shown
    heading = "Channels"
    parts = [cubes[0] for cubes in shown if cubes is not None]
    if not parts:
        return section("channels", heading, paragraph(text(_NO_CUBES)))
    scales = channel_scales(np.concatenate(parts))
    articles = [] if asked is None else [_article(f"Query: {query.name}", asked, 0, scales)]
    if answered is not None:
        articles += [
            _article(f"{hit.rank}. {hit.id}, similarity {hit.similarity:.3f}", answered, at, scales)
            for at, hit in enumerate(found.hits)
        ]
    missing = () if len(parts) == 2 else (paragraph(text(_NO_CUBES)),)
    return section("channels", heading, *missing, *articles, legend(scales))


def _article(name: str, cubes: Cubes, at: int, scales: Sequence[object]) -> Html:
    images, records = cubes
    return place_article(name, images[at], None if records is None else records.iloc[at], scales)  # type: ignore[arg-type]

"""The explorer as a section of the page: its data, and the empty places that the script fills."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sarpipe.channels import CHANNELS, CUBE_SIZE, FEATURES
from sarpipe.cubes import CubeSet
from sarpipe.report.chart import MARKERS, PALETTE
from sarpipe.report.explorer.script import land
from sarpipe.report.explorer.sprite import DATE_SIZE, scales_of, spread_order, sprites
from sarpipe.report.explorer.table import place_table
from sarpipe.report.markup import Html, text
from sarpipe.report.quicklook import NO_DATA, UNITS, Scale

MAX_PLACES = 30_000
"""So many places are explored at most, evenly chosen: the page is bounded, whatever the number of places."""

PICTURE_CHARACTERS = 5_400_000
"""So many characters of the page are pictures of places at most."""

_RAMP = (0.12, 0.9)
"""The part of the colour map of values that neither vanishes on a black nor on a white page."""

_RAMP_STEPS = 32


def explorer_section(places: CubeSet, vectors: NDArray[np.float32], labels: pd.DataFrame | None = None) -> Html:
    """Map, projection, filters and detail of the places; nothing is seen of them in a browser without scripts.

    Args:
        places: At least one.
        vectors: Their embeddings ``[N, D]``, finite.
        labels: As of `sarpipe.report.page.Report`.
    """
    total = len(places.ids)
    if total > MAX_PLACES:
        rows = sorted(spread_order(total)[:MAX_PLACES])
        places, vectors = _only(places, rows), vectors[rows]
    scales = scales_of(places)
    pictures = sprites(places, scales, PICTURE_CHARACTERS)
    table = place_table(places, vectors, labels)
    table |= {
        "total": total,
        "pictured": list(pictures),
        "look": _look(scales),
        "land": json.loads(land()),
    }
    without = "The explorer (map, projection and pictures of every place) needs JavaScript; what follows does not."
    return Html(
        f'<noscript><p class="note">{text(without)}</p></noscript>\n'
        f"{_FRAME}\n{_block('explorer-table', table)}\n{_block('explorer-pictures', list(pictures.values()))}"
    )


def _only(places: CubeSet, rows: list[int]) -> CubeSet:
    return replace(
        places,
        ids=tuple(places.ids[row] for row in rows),
        cubes=places.cubes[rows],
        frames=places.frames[rows],
        index=places.index.iloc[rows].reset_index(drop=True),
    )


def _block(anchor: str, data: Any) -> Html:
    """Data for the script. Nothing in it can end the element: ``< > &`` are escaped as JSON escapes them."""
    document = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        document = document.replace(character, f"\\u{ord(character):04x}")
    return Html(f'<script type="application/json" id="{anchor}">{document}</script>')


def _look(scales: list[Scale]) -> dict[str, Any]:
    """Colours, markers and the scales of the channels."""
    steps = np.linspace(*_RAMP, _RAMP_STEPS)
    ramp = [mpl.colors.to_hex(colour) for colour in mpl.colormaps["plasma"](steps)]
    return {
        "palette": PALETTE,
        "markers": MARKERS,
        "ramp": ramp,
        "no_data": NO_DATA,
        "size": CUBE_SIZE,
        "date_size": DATE_SIZE,
        "maps": {scale.colours: base64.b64encode(scale.palette().tobytes()).decode("ascii") for scale in scales},
        "features": [{"name": name, "unit": UNITS[name]} for name in FEATURES],
        "channels": [
            {
                "name": name,
                "map": scale.colours,
                "range": [float(scale.low), float(scale.high)] if np.isfinite(scale.low) else None,
            }
            for name, scale in zip(CHANNELS, scales, strict=True)
        ],
    }


def _plot(anchor: str, name: str) -> str:
    return f"""<figure class="view" id="{anchor}-view">
<div class="plot" id="{anchor}" tabindex="0" role="application" aria-roledescription="plot of places"
 aria-label="{name}" aria-describedby="explorer-keys"></div>
<figcaption id="{anchor}-caption"></figcaption>
</figure>"""


_FRAME = f"""<section id="explorer" aria-labelledby="explorer-heading" hidden>
<h2 id="explorer-heading">Explorer</h2>
<div class="tools" role="group" aria-label="Find, colour and filter places">
<div class="find"><label for="explorer-search">Find a place by id</label>
<input id="explorer-search" type="search" role="combobox" aria-expanded="false" aria-autocomplete="list"
 aria-controls="explorer-matches" autocomplete="off" spellcheck="false">
<ul id="explorer-matches" role="listbox" aria-label="Places found" hidden></ul></div>
<div><label for="explorer-colour">Colour by</label><select id="explorer-colour"></select></div>
<div id="explorer-pass-tool"><label for="explorer-pass">Orbit pass</label><select id="explorer-pass"></select></div>
<div id="explorer-orbit-tool"><label for="explorer-orbit">Relative orbit</label>
<select id="explorer-orbit"></select></div>
<div id="explorer-from-tool"><label for="explorer-from">A date from</label>
<input id="explorer-from" type="date"></div>
<div id="explorer-to-tool"><label for="explorer-to">to</label><input id="explorer-to" type="date"></div>
<fieldset id="explorer-classes"><legend>Class</legend></fieldset>
<div id="explorer-pictured-tool"><label class="chip"><input id="explorer-pictured" type="checkbox">
<span>with pictures only</span></label></div>
<div class="count"><output id="explorer-count" for="explorer-pass"></output>
<button type="button" id="explorer-reset">Show all</button></div>
</div>
<div class="views">
{_plot("explorer-map", "Map of the places")}
{_plot("explorer-projection", "Projection of the embeddings")}
</div>
<div class="legend" id="explorer-legend"></div>
<p class="note" id="explorer-keys"></p>
<p class="unseen" id="explorer-said" role="status"></p>
<p class="picked"><a href="#explorer-detail" id="explorer-picked"></a></p>
<div class="detail" id="explorer-detail" role="region" aria-labelledby="explorer-place" tabindex="-1">
<h3 id="explorer-place">No place is selected</h3>
<div id="explorer-facts"></div>
</div>
</section>"""

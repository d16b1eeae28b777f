"""The explorer's script and style as they stand in the page, and what the page allows of them."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from sarpipe.report.markup import Html

_PARTS = ("columns", "state", "paint", "plot", "map", "pictures", "detail", "filter", "search", "explorer")
"""One script is made of these, in this order: names of the later ones are used by no earlier one at its start."""

_FOLDER = resources.files(__package__)


def _joined() -> str:
    parts = "\n".join(_FOLDER.joinpath(f"{part}.js").read_text(encoding="utf-8") for part in _PARTS)
    return f'(() => {{\n"use strict";\n{parts}}})();\n'


_SCRIPT = _joined()

SCRIPT_POLICY = f"script-src 'sha256-{base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode('ascii')}'"
"""The part of a content security policy that lets this script run, and no other."""

EXPLORER_STYLE = _FOLDER.joinpath("explorer.css").read_text(encoding="utf-8")


def script() -> Html:
    """The script as an element. It reads the data of `explorer_section` and does nothing where there are none."""
    return Html(f"<script>{_SCRIPT}</script>")


def land() -> str:
    """The land of the Earth as JSON: rings of points, each the difference from the one before, 0.1 degrees.

    Source: Natural Earth 4.1, 1:110m land (public domain), simplified to 0.4 degrees, without islands smaller than
    1.5 square degrees.
    """
    return _FOLDER.joinpath("land.json").read_text(encoding="utf-8").strip()


def land_rings() -> list[NDArray[np.float64]]:
    """The same, each ring ``[N, 2]``: longitude and latitude, degrees."""
    return [np.cumsum(np.reshape(steps, (-1, 2)), axis=0) / 10 for steps in json.loads(land())]

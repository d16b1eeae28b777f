"""Charts: drawn by matplotlib once, used as SVG in the page and as PNG elsewhere."""

from __future__ import annotations

import io
import re

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sarpipe.report.markup import Html, text

INK = "#5b6671"
RULE = "#dde1e4"
ACCENT = "#2b7fae"
WARM = "#d2722e"
PALETTE = ("#2b7fae", "#4b9b57", "#d2722e", "#9566c4", "#c4a31f", "#cc5268", "#3aa39d", "#8a6f55")
"""Series colours of medium lightness, so that the same picture reads on a light and on a dark page."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
"""One a series, so that nothing is told by colour alone."""

# In the page, ink and rules follow the colours of the theme.
_THEMED = {INK: "currentColor", RULE: "var(--rule)"}

_FONT_SIZE = 11
_LABEL_CHARACTERS = 32


def new_axes(width: int, height: int, x_label: str, y_label: str) -> tuple[Figure, Axes]:
    """An empty chart of ``width`` by ``height`` points, with a transparent ground and recessive axes."""
    figure = Figure(figsize=(width / 72, height / 72), dpi=72, layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    axes.set_xlabel(x_label, color=INK, fontsize=_FONT_SIZE, parse_math=False)
    axes.set_ylabel(short(y_label), color=INK, fontsize=_FONT_SIZE, parse_math=False)
    axes.tick_params(colors=INK, labelsize=_FONT_SIZE - 1, length=3)
    axes.grid(visible=True, color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(RULE)
    axes.locator_params(nbins=5)
    return figure, axes


def inline_svg(figure: Figure, name: str, description: str) -> Html:
    """The figure as an ``<svg>`` element that scales with the page and takes its text and rule colours from it.

    Args:
        figure: Made by `new_axes`.
        name: Prefix of the element ids, unique in the page.
        description: What the picture shows, for a reader who does not see it.
    """
    buffer = io.StringIO()
    # Text stays text, ids depend on what is drawn alone, and what is rasterised stays sharp on a dense screen.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "sarpipe"}):
        figure.savefig(
            buffer, format="svg", dpi=144, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
    drawing = buffer.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    view_box = re.search(r'viewBox="[^"]*"', drawing)
    opening = f'<svg role="img" aria-label="{text(description)}" {view_box[0] if view_box else ""}>'
    drawing = re.sub(r"^<svg.*?>", lambda _: opening, drawing, count=1, flags=re.DOTALL)
    drawing = drawing.replace("xlink:href=", "href=")
    drawing = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", drawing)
    for colour, variable in _THEMED.items():
        drawing = drawing.replace(colour, variable)
    return Html(drawing.strip())


def png(figure: Figure, dots_per_inch: int = 144) -> bytes:
    """The figure as a PNG on white."""
    buffer = io.BytesIO()
    figure.patch.set_alpha(1)
    figure.savefig(buffer, format="png", dpi=dots_per_inch, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def short(label: str) -> str:
    """A name from data, cut so that it leaves room for the drawing."""
    return label if len(label) <= _LABEL_CHARACTERS else label[: _LABEL_CHARACTERS - 1] + "…"


def captioned(drawing: Html, caption: Html) -> Html:
    """A chart with the words below it."""
    return Html(f'<figure class="chart">{drawing}<figcaption>{caption}</figcaption></figure>')

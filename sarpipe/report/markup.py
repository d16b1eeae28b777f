"""HTML that is safe to join: data becomes `Html` only by way of `text`."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import NewType, TypeGuard

Html = NewType("Html", str)
"""Text that is HTML already. Everything that comes from data is a plain ``str`` until `text` has escaped it."""

NOT_MEASURED = Html('<span class="absent">not measured</span>')


def text(value: object) -> Html:
    """Data as HTML: ``& < > " '`` escaped, and a minus sign for the hyphen of a number."""
    if isinstance(value, Real):
        return Html(html.escape(str(value).replace("-", "−")))
    return Html(html.escape(str(value), quote=True))


def number(value: object, digits: int = 2) -> Html:
    """A measured value with ``digits`` decimals; the words "not measured" where it is absent or not finite."""
    if not is_measured(value):
        return NOT_MEASURED
    rounded = f"{float(value):,.{digits}f}"
    if float(rounded.replace(",", "")) == 0:
        rounded = rounded.removeprefix("-")
    return Html(rounded.replace("-", "−"))


def interval(bounds: object, digits: int = 2) -> Html:
    """``[low, high]`` as ``low to high``; nothing where there is none."""
    if not isinstance(bounds, Sequence) or len(bounds) != 2 or not all(map(is_measured, bounds)):
        return Html("")
    return Html(f"{number(bounds[0], digits)} to {number(bounds[1], digits)}")


def is_measured(value: object) -> TypeGuard[float]:
    """Whether a figure is a finite number."""
    return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)


def join(parts: Iterable[Html], separator: str = "\n") -> Html:
    """Fragments, one after the other."""
    return Html(separator.join(parts))


def paragraph(content: Html, css: str = "") -> Html:
    """A paragraph of HTML."""
    return Html(f'<p class="{css}">{content}</p>' if css else f"<p>{content}</p>")


def bullets(items: Iterable[object], css: str) -> Html:
    """An unordered list of data; nothing where there are no items."""
    entries = join(Html(f"<li>{text(item)}</li>") for item in items)
    return Html(f'<ul class="{css}">{entries}</ul>' if entries else "")


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[Html]], css: str = "") -> Html:
    """A table whose first column names its rows. It scrolls by itself where the screen is narrow.

    Args:
        caption: Said above the table, and the name of the scrolling region for a screen reader.
        head: Names of the columns.
        rows: Cells as HTML, as many as ``head`` each.
        css: Class of the table.
    """
    columns = "".join(f'<th scope="col">{text(name)}</th>' for name in head)
    body = "\n".join(_row(cells) for cells in rows)
    return Html(
        f'<div class="scroll" role="region" aria-label="{text(caption)}" tabindex="0">\n'
        f'<table class="{css}"><caption><span>{text(caption)}</span></caption>\n'
        f"<thead><tr>{columns}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def section(anchor: str, heading: str, *content: Html) -> Html:
    """A section of the page with its heading."""
    return Html(
        f'<section id="{anchor}" aria-labelledby="{anchor}-heading">\n'
        f'<h2 id="{anchor}-heading">{text(heading)}</h2>\n{join(content)}\n</section>'
    )


def _row(cells: Sequence[Html]) -> str:
    first, *others = cells
    return f'<tr><th scope="row">{first}</th>' + "".join(f"<td>{cell}</td>" for cell in others) + "</tr>"

"""Robustness: curves of what is left when places are disturbed, the embedding beside baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sarpipe.report.chart import INK, MARKERS, PALETTE, captioned, inline_svg, new_axes, short
from sarpipe.report.markup import (
    NOT_MEASURED,
    Html,
    interval,
    is_measured,
    join,
    number,
    paragraph,
    section,
    table,
    text,
)
from sarpipe.report.quality import OWN, method_name

_KINDS = {
    "speckle": ("looks of added speckle", "Speckle on each date, of so many looks at the 41 m of a cube's pixel."),
    "offset": ("offset, dB", "VV and VH at another level, as of an error in calibration."),
    "missing": ("what is missing", "All that is made from one polarisation unknown, or one date of each place."),
    "shift": ("shift, pixels of 41 m", "The image moved down and right."),
}
"""Name of the levels of each kind, and what was done."""
_MEASURES = {"mean_r2": "mean R² of the linear probe", "recall_at_1": "recall@1", "cosine": "cosine similarity"}
_LOWEST = -0.5
"""Worse predictions are drawn here: the scale would be theirs alone."""
_MEANING = (
    "The probe is fitted on undisturbed vectors and read from disturbed ones of places that it has not seen; "
    "recall@1: share of the places that the disturbed vector finds among the undisturbed ones of all, on the same "
    "pixels and dates, so 1 where nothing is disturbed; cosine: of disturbed and undisturbed vector, dimensions "
    "standardised. A vector that does not change is no merit by itself: see the probe. Speckle is taken as normal in "
    "dB and correlated as in the cubes, and the equalised channels stay as they were under speckle and offsets, which"
    " both makes mild what is harsher in raw data. Shaded are 95 % bootstrap intervals."
)


def robustness_section(robustness: Mapping[str, Any] | None) -> Html:
    """Two curves for each kind of disturbance, and all numbers in folded tables; nothing where it was not measured.

    Args:
        robustness: As `sarpipe.evaluate.robustness` gives it, or None.
    """
    if not robustness:
        return section("robustness", "Robustness", paragraph(NOT_MEASURED))
    kinds = {kind: levels for kind in _KINDS if len(levels := robustness["kinds"].get(kind) or []) > 1}
    measures = ["mean_r2", "recall_at_1"] if robustness.get("probed") else ["recall_at_1", "cosine"]
    charts = [_chart(kind, levels, measure) for kind, levels in kinds.items() for measure in measures]
    said = f"{robustness['n']:,} places disturbed"
    said += f", drawn from {robustness['of']:,}" if robustness["of"] > robustness["n"] else ""
    said += f"; {robustness['probed']:,} of them probed." if robustness.get("probed") else "."
    tables = [
        Html(f"<details><summary>{text(_KINDS[kind][1])} In numbers</summary>{_table(kind, levels)}</details>")
        for kind, levels in kinds.items()
    ]
    return section(
        "robustness",
        "Robustness",
        paragraph(text(said)),
        Html(f'<div class="charts">{join(charts)}</div>'),
        paragraph(text(_MEANING), "note"),
        *tables,
    )


def _chart(kind: str, levels: Sequence[Mapping[str, Any]], measure: str) -> Html:
    ordered = _in_order(kind, levels)
    label, done = _KINDS[kind]
    figure, axes = new_axes(400, 250, label, _MEASURES[measure])
    names = _names(levels)
    for number_, name in enumerate(names):
        colour, marker = PALETTE[number_ % len(PALETTE)], MARKERS[number_ % len(MARKERS)]
        points = [(place, one["methods"][name][measure]) for place, one in enumerate(ordered)]
        known = [
            (place, max(_LOWEST, _point(value)), _bounds(value))
            for place, value in points
            if is_measured(_point(value))
        ]
        line = "none" if kind == "missing" else "-"
        # Beside each other where the levels have no order.
        beside = (number_ - (len(names) - 1) / 2) * 0.14 if kind == "missing" else 0.0
        places = [place + beside for place, _, _ in known]
        axes.plot(
            places, [value for _, value, _ in known], color=colour, marker=marker, markersize=5, linewidth=1.8,
            linestyle=line, label=short(method_name(name)),
        )  # fmt: skip
        _shade(kind, axes, places, [bounds for _, _, bounds in known], colour)
    axes.set_xticks(range(len(ordered)), [str(one["level"]) for one in ordered], parse_math=False)
    axes.set_ylim(bottom=max(_LOWEST - 0.05, min(0.0, axes.get_ylim()[0])), top=1.05)
    figure.legend(loc="outside upper center", ncols=2, fontsize=9, frameon=False, labelcolor=INK)
    own = [f"{one['level']} {number(_point(one['methods'][OWN][measure]))}" for one in ordered if OWN in one["methods"]]
    said = f"{_MEASURES[measure]} by {label}. {done}"
    values = [_point(one["methods"][name][measure]) for one in ordered for name in names]
    if any(is_measured(value) and value < _LOWEST for value in values):
        said += f" What is below {number(_LOWEST, 1)} stands at the lower edge; the table has its value."
    described = f"{said} The embedding: {', '.join(own)}."
    return captioned(inline_svg(figure, f"robust-{kind}-{measure}", described), text(said[0].upper() + said[1:]))


def _shade(kind: str, axes: Any, places: list[float], bounds: list[Any], colour: str) -> None:
    if not places or any(one is None for one in bounds):
        return
    low, high = ([max(_LOWEST, one[side]) for one in bounds] for side in (0, 1))
    if kind == "missing":
        axes.vlines(places, low, high, color=colour, linewidth=1.5)
    else:
        axes.fill_between(places, low, high, color=colour, alpha=0.15, linewidth=0)


def _in_order(kind: str, levels: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Offsets from low to high, with none in the middle; all else from none on."""
    if kind != "offset":
        return list(levels)
    return sorted(levels, key=lambda one: 0.0 if one["level"] == "none" else float(one["level"]))


def _names(levels: Sequence[Mapping[str, Any]]) -> list[str]:
    """The methods, the embedding first."""
    return sorted(levels[0]["methods"], key=lambda name: (name != OWN, name))


def _table(kind: str, levels: Sequence[Mapping[str, Any]]) -> Html:
    names = _names(levels)
    rows = [
        (text(one["level"]), *(_cell(one["methods"][name][measure]) for name in names for measure in _MEASURES))
        for one in _in_order(kind, levels)
    ]
    short_names = {"mean_r2": "R²", "recall_at_1": "recall@1", "cosine": "cosine"}
    head = [
        _KINDS[kind][0],
        *(f"{method_name(name)}, {short_names[measure]}" for name in names for measure in _MEASURES),
    ]
    return table(f"{_KINDS[kind][1]} Below each value its 95 % interval", head, rows)


def _cell(value: Any) -> Html:
    bounds = interval(_bounds(value), 3)
    below = f'<span class="interval">{bounds}</span>' if bounds else ""
    return Html(number(_point(value), 3) + below)


def _point(value: Any) -> Any:
    return value.get("value") if isinstance(value, Mapping) else value


def _bounds(value: Any) -> Any:
    return value.get("interval") if isinstance(value, Mapping) else None

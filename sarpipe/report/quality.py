"""How good the embeddings are: the figures of `sarpipe.evaluate`, always beside their baselines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sarpipe.report.chart import INK, PALETTE, captioned, inline_svg, new_axes, short
from sarpipe.report.markup import (
    NOT_MEASURED,
    Html,
    bullets,
    interval,
    is_measured,
    join,
    number,
    paragraph,
    section,
    table,
    text,
)

OWN = "sarpipe"
_UNTRAINED = "random_weights"
_NAMES = {
    OWN: "sarpipe embedding",
    "random_weights": "random weights",
    "random_convolutions": "random convolutions + PCA",
    "pca": "PCA",
    "pca_whitened": "PCA, whitened",
    "band_statistics": "band statistics",
    "date_statistics": "statistics of each date",
    "mean_pool": "8 x 8 mean pooling",
    "mean_pool_whitened": "8 x 8 pooling, whitened",
    "date_pool": "8 x 8 pooling of each date",
    "position": "position and season",
    "random_vectors": "random vectors",
}
_MEAN_R2 = ("mean_r2",)
_RECALL = ("displaced_retrieval", "recall_at_1")
_MEASURES = {
    "mean R²": _MEAN_R2,
    "recall@1, corner": _RECALL,
    "MRR, corner": ("displaced_retrieval", "mrr"),
    "recall@1": ("retrieval", "recall_at_1"),
    "MRR": ("retrieval", "mrr"),
}
"""Name of each measure in the page, and where it stands among the figures of a method."""
_MEANING = (
    "R²: share of the variance of what is known of a place (of simulated places their truth) that a linear probe "
    "predicts on places which the probe has not seen; below 0 it is worse than the mean. "
    "recall@k: share of the places that are among the k nearest when they are "
    "searched for by their other dates; MRR: mean of one over the rank; corner: of places searched for in opposite "
    "corners, which share 44 % of their ground, so that no pixel lies where its like lay. On one grid of pixels a "
    "picture finds itself: what PCA and mean pooling keep of it wins there, whitened most of all, and says little of "
    "the place. RankMe: "
    "effective number of dimensions (Garrido et al. 2023), at most that of the vectors; the embedding of preset "
    "original, which is read from the mean token alone, cannot exceed 128. Bold is the largest value of a column, "
    "which is not yet a win: that is a paired difference whose interval is above 0. Intervals are 95 % bootstrap "
    "intervals."
)

_TARGET = "r2:"
"""What the measures of single targets begin with."""

_WIN, _LOSS, _OPEN, _UNKNOWN = "win", "loss", "no difference shown", "not decided"
_SIGNS = {_WIN: (PALETTE[0], "^"), _LOSS: (PALETTE[2], "v"), _OPEN: (INK, "o"), _UNKNOWN: (INK, "x")}
"""Colour and marker of each verdict."""

Figures = Mapping[str, Any]
"""What `sarpipe.evaluate` returns: ``n``, ``methods``, ``differences``, ``claims``, ``notes``."""


def headline(figures: Figures, places: Html, places_beside: Html) -> Html:
    """The four figures that matter, each with what it is to be seen beside."""
    rank = _value(figures, OWN, ("rankme",))
    dimensions = _value(figures, OWN, ("dimensions",))
    of = Html(f"of {number(dimensions, 0)} dimensions; ") if is_measured(dimensions) else Html("")
    tiles = [
        ("Places embedded", places, places_beside),
        (
            "Linear probe of the simulated truth, mean R²",
            number(_value(figures, OWN, _MEAN_R2)),
            _beside(figures, _MEAN_R2, 2),
        ),
        ("Retrieval in another corner, recall@1", number(_value(figures, OWN, _RECALL)), _beside(figures, _RECALL, 2)),
        ("RankMe", number(rank, 1), Html(of + _rank_untrained(figures))),
    ]
    return Html(f'<dl class="headline">{join(_tile(*tile) for tile in tiles)}</dl>')


def claims_section(figures: Figures) -> Html:
    """What may be said of the embeddings, in the words of the evaluation: also where they lose."""
    claims = bullets(figures.get("claims") or [], "claims")
    return section("claims", "What the figures say", claims or paragraph(text("The evaluation makes no claim.")))


def quality_section(figures: Figures) -> Html:
    """All measures of all methods with their intervals, the probe by target, and the paired differences."""
    methods = figures.get("methods") or {}
    if not methods:
        return section("quality", "Quality beside baselines", paragraph(NOT_MEASURED))
    figures = {**figures, "methods": {name: methods[name] for name in sorted(methods, key=lambda name: name != OWN)}}
    parts = [_measures_table(figures), paragraph(text(_MEANING), "note")]
    parts += _probe_table(figures)
    parts += _differences(figures.get("differences") or [])
    return section("quality", "Quality beside baselines", *parts)


def notes_section(figures: Figures) -> Html:
    """What limits the figures."""
    notes = bullets(figures.get("notes") or [], "notes")
    return section("notes", "Notes and limits", notes or paragraph(text("The evaluation left no notes.")))


def _tile(label: str, value: Html, beside: Html) -> Html:
    return Html(
        f'<div><dt>{text(label)}</dt><dd class="value">{value}</dd>'
        + (f'<dd class="beside">{beside}</dd>' if beside else "")
        + "</div>"
    )


def _beside(figures: Figures, path: Sequence[str], digits: int) -> Html:
    """Random weights and the best of the others: ``beside 0.41 random weights, 0.52 band statistics``."""
    if not is_measured(_value(figures, OWN, path)):
        return Html("")
    others = {name: _value(figures, name, path) for name in figures.get("methods") or {} if name != OWN}
    known = {name: value for name, value in others.items() if is_measured(value)}
    best = max((name for name in known if name != _UNTRAINED), key=lambda name: known[name], default=None)
    words = [
        f"{number(known[name], digits)} {_name(name)}"
        for name in (_UNTRAINED, best)
        if name is not None and name in known
    ]
    return Html("beside " + ", ".join(words) if words else "no baseline was measured")


def _rank_untrained(figures: Figures) -> Html:
    """Of the same encoder: ranks of other methods do not compare."""
    rank = _value(figures, _UNTRAINED, ("rankme",))
    return Html(f"beside {number(rank, 1)} {_name(_UNTRAINED)}") if is_measured(rank) else Html("")


def _measures_table(figures: Figures) -> Html:
    methods = figures["methods"]
    best = {label: _largest(_value(figures, name, path) for name in methods) for label, path in _MEASURES.items()}
    rows = [
        (
            _name(name),
            number(_value(figures, name, ("dimensions",)), 0),
            *(_cell(_at(figures, name, path), best[label]) for label, path in _MEASURES.items()),
            number(_value(figures, name, ("rankme",)), 1),
        )
        for name in methods
    ]
    queries = _at(figures, OWN, ("retrieval",))
    count = f"{int(figures.get('n') or 0):,} places"
    probed = (figures.get("places") or {}).get("probed")
    count += f", {probed:,} probed for their simulated truth" if probed else ""
    if isinstance(queries, Mapping) and is_measured(queries.get("n")):
        count += f", {int(queries['n']):,} retrieval queries"
    head = ["method", "dimensions", *_MEASURES, "RankMe"]
    return table(f"Methods and measures, {count}; below each value its 95 % interval", head, rows)


def _probe_table(figures: Figures) -> list[Html]:
    methods = figures["methods"]
    probes = {name: _at(figures, name, ("probe",)) or {} for name in methods}
    targets = list(dict.fromkeys(target for probe in probes.values() for target in probe))
    if not targets:
        return []
    rows = []
    for target in targets:
        measures = {name: probe.get(target) for name, probe in probes.items()}
        best = _largest(_point(measure) for measure in measures.values())
        rows.append((text(target.replace("_", " ")), *(_cell(measure, best) for measure in measures.values())))
    head = ["target", *(method_name(name) for name in methods)]
    probed = (figures.get("places") or {}).get("probed")
    count = f", {probed:,} places" if probed else ""
    return [
        table(
            f"Linear probe: R² of each target of the simulated truth{count}; below each value its 95 % interval",
            head,
            rows,
        )
    ]


def _differences(differences: Sequence[Mapping[str, Any]]) -> list[Html]:
    if not differences:
        return []
    overall = [one for one in differences if not str(one["measure"]).startswith(_TARGET)]
    single = [one for one in differences if one not in overall]
    found = []
    if overall:
        said = (
            "Paired differences over all targets and queries: up is a win, an interval above 0; down a loss; "
            "a circle shows no difference, a cross is not decided."
        )
        found.append(captioned(_differences_chart(overall), text(said)))
    tables = {"Paired differences in numbers": overall, "Paired differences of single targets": single}
    return found + [_folded(name, rows) for name, rows in tables.items() if rows]


def _folded(name: str, differences: Sequence[Mapping[str, Any]]) -> Html:
    return Html(f"<details><summary>{text(name)}</summary>{_differences_table(name, differences)}</details>")


def _differences_table(caption: str, differences: Sequence[Mapping[str, Any]]) -> Html:
    rows = [
        (
            text(_compared(one)),
            number(one.get("n"), 0),
            number(one["difference"], 3),
            interval(one["interval"], 3) or NOT_MEASURED,
            text(_verdict(one["interval"])),
        )
        for one in differences
    ]
    return table(caption, ["sarpipe minus baseline", "places", "difference", "95 % interval", "verdict"], rows)


def _differences_chart(differences: Sequence[Mapping[str, Any]]) -> Html:
    figure, axes = new_axes(440, 50 + 18 * len(differences), "sarpipe minus baseline", "")
    axes.axvline(0, color=INK, linewidth=1)
    axes.grid(visible=False, axis="y")
    for place, one in enumerate(differences):
        colour, marker = _SIGNS[_verdict(one["interval"])]
        if is_measured(one["difference"]):
            axes.plot(one["difference"], place, color=colour, marker=marker, markersize=7)
        if interval(one["interval"]):
            axes.plot(one["interval"], [place, place], color=colour, linewidth=2)
    axes.set_ylim(len(differences) - 0.5, -0.5)
    labels = [f"{short(_label(one))}, {short(method_name(str(one['baseline'])))}" for one in differences]
    axes.set_yticks(range(len(differences)), labels, parse_math=False)
    said = f"{len(differences)} paired differences with their intervals, beside a line at 0."
    return inline_svg(figure, "differences", said)


def _compared(one: Mapping[str, Any]) -> str:
    return f"{_label(one)} against {method_name(str(one['baseline']))}"


def _label(one: Mapping[str, Any]) -> str:
    measure = str(one["measure"])
    names = {_measure(path): label for label, path in _MEASURES.items()}
    return names.get(measure, measure.replace(_TARGET, "R² of ").replace("_", " "))


def _measure(path: Sequence[str]) -> str:
    """What the differences call it."""
    return f"displaced_{path[-1]}" if path[0] == "displaced_retrieval" else path[-1]


def _verdict(bounds: object) -> str:
    if not isinstance(bounds, Sequence) or len(bounds) != 2 or not all(map(is_measured, bounds)):
        return _UNKNOWN
    if bounds[0] > 0:
        return _WIN
    return _LOSS if bounds[1] < 0 else _OPEN


def _cell(measure: object, best: float | None) -> Html:
    value = _point(measure)
    if not is_measured(value):
        return NOT_MEASURED
    shown = number(value, 3)
    bounds = interval(measure.get("interval"), 3) if isinstance(measure, Mapping) else ""
    below = f'<span class="interval">{bounds}</span>' if bounds else ""
    return Html((f"<strong>{shown}</strong>" if value == best else shown) + below)


def _point(measure: object) -> object:
    return measure.get("value", measure.get("r2")) if isinstance(measure, Mapping) else measure


def _largest(values: Iterable[object]) -> float | None:
    return max((value for value in values if is_measured(value)), default=None)


def _value(figures: Figures, method: str, path: Sequence[str]) -> object:
    return _point(_at(figures, method, path))


def _at(figures: Figures, method: str, path: Sequence[str]) -> Any:
    """A figure of a method; None where it, or anything on the way to it, was not measured."""
    found: Any = (figures.get("methods") or {}).get(method)
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _name(method: str) -> Html:
    return text(method_name(method))


def method_name(method: str) -> str:
    """What the page calls a method."""
    return _NAMES.get(method, method.replace("_", " "))

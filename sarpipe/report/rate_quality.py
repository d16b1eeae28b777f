"""What smaller forms of the embeddings lose: quality against bytes a place, and PCA of the cube in as many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from sarpipe.report.chart import ACCENT, PALETTE, WARM, captioned, inline_svg, new_axes
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

_NAMES = {
    "float32": "float32, as it is",
    "float16": "float16",
    "int8": "int8 with a scale",
    "binary": "binary",
    "pca_int8": "64 components, int8",
    "pq": "product quantization",
}
_LABELS = {"pca_int8": "PCA + int8", "pq": "PQ"}
_MEAN_R2 = ("mean_r2",)
_RECALL = ("displaced_retrieval", "recall_at_1")
_LOSSES = {
    "mean R²": "mean_r2",
    "20 nearest": "knn:20",
    "recall@1, corner": "displaced_recall_at_1",
    "MRR, corner": "displaced_mrr",
}
_MEANING = (
    "Loss: by how much less than the embedding as it is, in per cent of its value, with the 95 % interval of the "
    "paired difference; below 0 is a gain; 20 nearest: of the mean R² of that probe. Probes and searches are of "
    "vectors that were encoded and decoded, of places from which the form has not learnt. The last column is the loss "
    "where the form has learnt from all places that it is measured on: with few places that flatters. Stored once, "
    "however many places there are: means, components, thresholds, codebooks. Codes of components are nested: the "
    "first 32 bytes of one of 64 are that of 32. The rival keeps principal components of the cube itself, a byte each."
)


def rate_quality_section(figures: Mapping[str, Any], compression: Mapping[str, Any]) -> Html:
    """Two charts and a table.

    Args:
        figures: What `sarpipe.evaluate` returns; of it ``forms``.
        compression: What `sarpipe.embeddings.compression.compression` returns: bytes of a raw place and on the disk.
    """
    measured = figures.get("forms") or {}
    forms, nested, rivals = (_by_bytes(measured.get(kind) or {}) for kind in ("forms", "nested", "rivals"))
    heading = "Smaller forms"
    if not forms:
        notes = measured.get("notes") or ["What smaller forms lose was not measured."]
        return section("forms", heading, *(paragraph(text(note)) for note in notes))
    charts = [
        _chart(forms, nested, rivals, _MEAN_R2, "mean R² of the probe", "rate_r2"),
        _chart(forms, nested, rivals, _RECALL, "recall@1, another corner", "rate_recall"),
    ]
    drawn = join(chart for chart in charts if chart)
    return section(
        "forms",
        heading,
        Html(f'<div class="charts">{drawn}</div>') if drawn else Html(""),
        _table(forms, nested, rivals, compression, int(measured.get("n") or 0)),
        *_targets(forms),
        *_labels(measured.get("labels") or []),
        paragraph(text(_MEANING), "note"),
    )


def _by_bytes(found: Mapping[str, Any]) -> dict[str, Any]:
    """From the largest to the smallest; names in a file are in the order of the alphabet."""
    return dict(sorted(found.items(), key=lambda item: -item[1]["bytes"]))


def _chart(
    forms: Mapping[str, Any],
    nested: Mapping[str, Any],
    rivals: Mapping[str, Any],
    path: Sequence[str],
    label: str,
    name: str,
) -> Html | None:
    codes = [one for name, one in forms.items() if name == "pca_int8"] + list(nested.values())
    nests = [(one["bytes"], _at(one, path)) for one in codes if _at(one, path)]
    own = [(form, one["bytes"], _at(one, path)) for form, one in forms.items() if _at(one, path)]
    theirs = sorted((one["bytes"], _at(one, path)) for one in rivals.values() if _at(one, path))
    if not own:
        return None
    figure, axes = new_axes(440, 300, "bytes a place", label)
    axes.set_xscale("log", base=2)
    _points(axes, [(place, figure_) for _, place, figure_ in own], ACCENT, "o", "embedding")
    if len(nests) > 1:
        _points(axes, nests, PALETTE[1], ".", "embedding, nested PCA")
    if theirs:
        _points(axes, theirs, WARM, "s", "PCA of the cube")
    ends = [bound for _, _, one in own for bound in one["interval"]] + [
        b for _, one in theirs + nests for b in one["interval"]
    ]
    axes.set_ylim(min(0.0, *ends), max(ends) * 1.15)
    for form, place, one in own:
        axes.annotate(
            _LABELS.get(form, form),
            # Two forms have 64 bytes: one is named above, the other below.
            (place, one["interval"][0 if form == "pq" else 1]),
            xytext=(0, -13 if form == "pq" else 5),
            textcoords="offset points",
            ha="center",
            fontsize=9,
            color=ACCENT,
        )
    ticks = sorted({place for _, place, _ in own} | {place for place, _ in nests})
    axes.set_xticks(ticks)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlim(ticks[0] / 1.6, ticks[-1] * 1.6)
    axes.legend(frameon=False, loc="lower right", labelcolor="linecolor", fontsize=9)
    points = "; ".join(f"{_LABELS.get(form, form)} {place:,} bytes {one['value']:.3f}" for form, place, one in own)
    beside = "; ".join(f"{place:,} bytes {one['value']:.3f}" for place, one in theirs)
    said = f"{label} against bytes a place, with 95 % intervals. Embedding: {points}."
    said += f" PCA of the cube: {beside}." if beside else ""
    short = f"{label} against bytes a place (logarithmic), with 95 % intervals; squares: PCA of the cube, int8."
    return captioned(inline_svg(figure, name, said), text(short))


def _points(
    axes: Axes, points: Sequence[tuple[float, Mapping[str, Any]]], colour: str, marker: str, label: str
) -> None:
    points = sorted(points, key=lambda point: (point[0], point[1]["value"]))
    places, values = [place for place, _ in points], [one["value"] for _, one in points]
    axes.plot(places, values, color=colour, marker=marker, markersize=6, linewidth=1.5, label=label)
    axes.vlines(
        places,
        [one["interval"][0] for _, one in points],
        [one["interval"][1] for _, one in points],
        color=colour,
        linewidth=1.2,
    )


def _table(
    forms: Mapping[str, Any],
    nested: Mapping[str, Any],
    rivals: Mapping[str, Any],
    compression: Mapping[str, Any],
    places: int,
) -> Html:
    sizes = compression.get("bytes_per_place") or {}
    raw, on_disk = sizes.get("raw_float16"), sizes.get("source_on_disk")
    named = [(_NAMES.get(name, name), one) for name, one in forms.items()]
    named += [(f"{one['bytes']:,} components, int8", one) for one in nested.values()]
    named += [(f"PCA of the cube, {one['bytes']:,} components", one) for one in rivals.values()]
    rows = [
        (
            text(name),
            number(one["bytes"], 0),
            number(one["overhead_bytes"], 0),
            _ratio(raw, one["bytes"]),
            _ratio(on_disk, one["bytes"]),
            _value(one, _MEAN_R2),
            _value(one, _RECALL),
            *(_loss((one.get("differences") or {}).get(measure)) for measure in _LOSSES.values()),
            _loss((one.get("same_places") or {}).get("mean_r2")),
        )
        for name, one in named
    ]
    head = ["form", "bytes a place", "bytes once", "x raw float16", "x file on disk", "mean R²", "recall@1, corner"]
    head += [f"loss of {label}, %" for label in _LOSSES] + ["loss of mean R², learnt on the same, %"]
    return table(f"Smaller forms, {places:,} places; below each value its 95 % interval", head, rows)


def _targets(forms: Mapping[str, Any]) -> list[Html]:
    """The losses of each target of the probe, folded."""
    targets = list(next(iter(forms.values())).get("probe") or {})
    coded = {name: one for name, one in forms.items() if one.get("differences")}
    if not targets or not coded:
        return []
    rows = [
        (text(target.replace("_", " ")), *(_loss(one["differences"].get(f"r2:{target}")) for one in coded.values()))
        for target in targets
    ]
    name = "Loss of R² of each target, %"
    shown = table(name, ["target", *(_NAMES.get(form, form) for form in coded)], rows)
    return [Html(f"<details><summary>{text(name)}</summary>{shown}</details>")]


def _labels(sources: Sequence[Mapping[str, Any]]) -> list[Html]:
    """The probes of a user's labels read from each form, folded."""
    rows = [
        (
            text(f"{label}: {measure}"),
            number(column["n"], 0),
            *(_below(number(one["value"], 3), interval(one["interval"], 3)) for one in of_forms.values()),
        )
        for source in sources
        for label, column in source["columns"].items()
        for measure, of_forms in (column.get("measures") or {}).items()
    ]
    if not rows:
        return []
    first = next(column["measures"] for s in sources for column in s["columns"].values() if column.get("measures"))
    forms = ("float32" if name == "sarpipe" else name for name in next(iter(first.values())))
    name = "Labels read from each form, which has learnt from all places"
    shown = table(name, ["label", "places", *(_NAMES.get(form, form) for form in forms)], rows)
    return [Html(f"<details><summary>{text(name)}</summary>{shown}</details>")]


def _ratio(bytes_before: object, after: float) -> Html:
    return number(bytes_before / after if is_measured(bytes_before) else None, 0)


def _value(one: Mapping[str, Any], path: Sequence[str]) -> Html:
    found = _at(one, path)
    return _below(number(found["value"], 3), interval(found["interval"], 3)) if found else NOT_MEASURED


def _loss(difference: Mapping[str, Any] | None) -> Html:
    if difference is None:
        return Html("")
    if not is_measured(difference.get("loss_percent")):
        return NOT_MEASURED
    return _below(number(difference["loss_percent"], 1), interval(difference["loss_interval"], 1))


def _below(value: Html, bounds: Html) -> Html:
    return Html(value + (f'<span class="interval">{bounds}</span>' if bounds else ""))


def _at(one: Mapping[str, Any], path: Sequence[str]) -> Any:
    found: Any = one
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found

"""How far the figures can be trusted: other splits, other probes, harder pools, and what vectors say of themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sarpipe.report.markup import Html, interval, is_measured, number, paragraph, section, table, text
from sarpipe.report.quality import OWN, method_name

_SPLITS = (
    "Blocked: places at most 50 km apart are never on both sides of a split. Random: places are dealt one by one, so "
    "a probe may read a place off its neighbour; the difference is optimism and not quality. 5 and 20 nearest: mean "
    "of the training places that are most similar by the cosine (L2: nearest by distance), blocked as well. A large "
    "R² of position on random folds says how much geography alone can tell."
)
_NEAREST = {"5": "5 nearest", "20": "20 nearest", "5 L2": "5 nearest, L2", "20 L2": "20 nearest, L2"}
_POOLS = (
    "Among neighbours: a place is searched for in another corner among those 5 to 50 km from it alone. Class: share "
    "of the ten nearest places of other blocks that have the same dominant class."
)
_SHAPE = (
    "Alignment: mean squared distance of the same place from other dates; uniformity: log mean exp(−2 d²) over all "
    "pairs; both on vectors of length 1, where smaller is better. alpha-ReQ: exponent with which eigenvalues 11 to 50"
    " fall, about 1 is good. LiDAR: effective number of dimensions that tell places apart, against what their views "
    "(two halves of the dates, two corners) differ in; it needs a third as many places as there are dimensions. "
    "Correlation: mean magnitude between two dimensions. Dead: dimensions that do not vary. "
    "Duplicates: vectors that equal an earlier one. These compare runs of one method, not methods."
)


def protocol_section(figures: Mapping[str, Any]) -> Html:
    """Splits, pools and diagnostics, a table each.

    Args:
        figures: As `sarpipe.evaluate` gives them.
    """
    given = figures.get("methods") or {}
    methods = {name: given[name] for name in sorted(given, key=lambda name: name != OWN)}
    parts = [*_splits(figures, methods), *_pools(methods), *_diagnostics(methods)]
    return section("protocol", "Splits, pools and diagnostics", *(parts or [paragraph(text("Nothing was measured."))]))


def labels_section(figures: Mapping[str, Any]) -> Html:
    """Each file of labels, a table for each of its columns; an empty string where no labels were given."""
    sources = figures.get("labels") or []
    if not sources:
        return Html("")
    parts: list[Html] = []
    for source in sources:
        known = f"{source['source']}: {source['known']:,} of its {source['rows']:,} ids are among the places."
        parts.append(Html(f"<h3>{text(known)}</h3>"))
        parts += [_label_table(name, column) for name, column in source["columns"].items()]
    return section("labels", "Labels", *parts)


def _splits(figures: Mapping[str, Any], methods: Mapping[str, Any]) -> list[Html]:
    probed = {name: one for name, one in methods.items() if one.get("mean_r2") and one.get("random_split")}
    if not probed:
        return []
    places = figures.get("places") or {}
    rows = [
        (
            text(method_name(name)),
            _cell(one["mean_r2"]),
            _cell(one["random_split"]["mean_r2"]),
            _cell(one["random_split"]["optimism"]),
            *(_cell((one.get("knn") or {}).get(kind)) for kind in _NEAREST),
        )
        for name, one in probed.items()
    ]
    permuted = figures.get("permuted_labels")
    if permuted:
        rows.append((text("embedding, labels permuted"), _cell(permuted), *[Html("")] * (2 + len(_NEAREST))))
    caption = (
        f"Mean R² by split and probe, {places.get('probed', 0):,} places in {places.get('blocks', 0):,} blocks of 50 km"
    )
    head = ["method", "blocked", "random", "random − blocked", *(label for label in _NEAREST.values())]
    return [table(f"{caption}; below each value its 95 % interval", head, rows), paragraph(text(_SPLITS), "note")]


def _pools(methods: Mapping[str, Any]) -> list[Html]:
    own = methods.get(OWN) or {}
    hard, alike = own.get("hard_retrieval"), own.get("class_precision")
    if not hard and not alike:
        return []
    head = ["method"]
    chance: list[Html] = [text("chance")]
    if hard:
        head += ["recall@1 among neighbours", "MRR among neighbours"]
        chance += [number(hard["chance"], 3), Html("")]
    if alike:
        head.append("class precision@10")
        chance.append(number(alike["chance"], 3))
    rows = [
        (
            text(method_name(name)),
            *((_cell((one.get("hard_retrieval") or {}).get(key)) for key in ("recall_at_1", "mrr")) if hard else ()),
            *((_cell((one.get("class_precision") or {}).get("value")),) if alike else ()),
        )
        for name, one in methods.items()
    ]
    counts = [f"{hard['n']:,} queries have neighbours"] if hard else []
    counts += [f"{alike['n']:,} places have a class"] if alike else []
    caption = f"Harder retrieval, {'; '.join(counts)}; below each value its 95 % interval"
    return [table(caption, head, [*rows, chance]), paragraph(text(_POOLS), "note")]


def _diagnostics(methods: Mapping[str, Any]) -> list[Html]:
    names = {"alignment": 3, "uniformity": 2, "alpha_req": 2, "lidar": 1, "correlation": 3, "dead": 0, "duplicates": 0}
    found = {name: one["diagnostics"] for name, one in methods.items() if one.get("diagnostics")}
    if not found:
        return []
    rows = [
        (text(method_name(name)), *(_plain(one.get(key), digits) for key, digits in names.items()))
        for name, one in found.items()
    ]
    head = ["method", "alignment", "uniformity", "alpha-ReQ", "LiDAR", "correlation", "dead", "duplicates"]
    count = max(int(one["n"]) for one in found.values())
    return [
        table(f"Vectors of themselves, without labels, {count:,} places", head, rows),
        paragraph(text(_SHAPE), "note"),
    ]


def _label_table(name: str, column: Mapping[str, Any]) -> Html:
    what = f"{name}: {column['n']:,} places in {column['blocks']:,} blocks"
    if column.get("classes"):
        what += "; " + ", ".join(f"{one} {count:,}" for one, count in column["classes"].items())
    notes = "".join(f" {one[0].upper()}{one[1:]}." for one in column.get("notes") or [])
    measures = column.get("measures")
    if not measures:
        return paragraph(text(f"{what}.{notes}"))
    names = sorted(next(iter(measures.values())), key=lambda name: name != OWN)
    rows = [
        (
            text(method_name(method)),
            *(
                cell
                for of_methods in measures.values()
                for cell in (
                    _cell(of_methods[method]),
                    _cell(of_methods[method].get("gap")),
                    number(of_methods[method]["random_split"], 3),
                )
            ),
        )
        for method in names
    ]
    head = ["method", *(one for measure in measures for one in (measure, "embedding − it", "random split"))]
    return table(f"{what}. Below each value its 95 % interval.{notes}", head, rows)


def _cell(value: Any) -> Html:
    bounds: Sequence[float] | None = value.get("interval") if isinstance(value, Mapping) else None
    point = value.get("value") if isinstance(value, Mapping) else value
    shown = interval(bounds, 3)
    below = f'<span class="interval">{shown}</span>' if shown else ""
    return Html(_plain(point, 3) + below)


def _plain(value: object, digits: int) -> Html:
    return number(value, digits) if is_measured(value) else Html("")

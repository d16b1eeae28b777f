"""What went in and what came out: bytes, the quarantine, and where everything is from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from sarpipe.report.markup import Html, is_measured, join, number, paragraph, section, table, text

QUARANTINE_ROWS = 200
"""So many rows of the quarantine are shown."""

_LOOK = (
    "sarpipe quarantine --id ID (or --store NAME), with the same --data and --recipe, shows what is there now; the "
    "list in the folder quarantine/ of the output has the path of each store, and the command that tries it again."
)
_TOOK = (
    "What a run took, in seconds and in energy, differs from run to run, and this page has the same bytes for the same "
    "input: 'sarpipe runs show last' says it of the last run, 'sarpipe runs' lists all."
)
_REASON_CHARACTERS = 400
_PROVENANCE_CHARACTERS = 100_000

_RATIOS = (
    "A ratio of bytes says how much less is stored. A ratio of values only counts numbers, whatever their size: a "
    "pixel of the raw cube is 2 bytes (float16) and a value of the embedding 4 (float32), so the same embedding looks "
    "twice as small in values as it is in bytes. A ratio that counts the bands of more sensors does not hold for these "
    "embeddings, which are made from Sentinel-1 alone. No ratio says how much of the information is kept: the measures "
    "above do."
)


def summary_list(summary: Mapping[str, Any]) -> Html:
    """Short facts as a line of names and values; nested names are joined."""
    facts = "".join(f"<div><dt>{text(name)}</dt><dd>{_shown(value)}</dd></div>" for name, value in flatten(summary))
    return Html(f'<dl class="summary">{facts}</dl>' if facts else "")


def compression_section(compression: Mapping[str, Any]) -> Html:
    """Bytes and ratios, a table for each group of ``compression``; numbers that stand alone come first."""
    heading = "Compression"
    if not compression:
        return section("compression", heading, paragraph(text("Compression was not measured.")))
    alone = {name: value for name, value in compression.items() if not isinstance(value, Mapping)}
    groups = {"in all": alone, **{name: value for name, value in compression.items() if isinstance(value, Mapping)}}
    tables = [_group(name, group) for name, group in groups.items() if group]
    grid = Html(f'<div class="charts small">{join(tables)}</div>')
    return section("compression", heading, grid, paragraph(text(_RATIOS), "note"))


def quarantine_section(quarantine: pd.DataFrame) -> Html:
    """The places that were refused, by name, with code and reason; the first `QUARANTINE_ROWS` where they are many."""
    heading = "Quarantine"
    if quarantine.empty:
        return section("quarantine", heading, paragraph(text("Empty: no place was refused.")))
    shown = quarantine.head(QUARANTINE_ROWS)
    columns = zip(
        shown["id"], shown["store"], shown["step"], shown["code"], shown["reason"], shown["helps"], strict=True
    )
    rows = [(_named(place), _named(store), *map(_clipped, said)) for place, store, *said in columns]
    count = len(quarantine)
    caption = f"{count:,} {'entry' if count == 1 else 'entries'}; these places have no embedding"
    parts = [
        table(caption, ["place", "store", "step", "code", "reason", "what helps"], rows, "words"),
        paragraph(text(_LOOK)),
    ]
    if count > len(shown):
        more = f"{count - len(shown):,} more are not shown. The full list is in the folder quarantine/ of the output."
        parts.append(paragraph(text(more)))
    return section("quarantine", heading, *parts)


def provenance_section(provenance: Mapping[str, Any]) -> Html:
    """Settings, versions and digests as JSON, folded."""
    document = json.dumps(provenance, indent=2, sort_keys=True, ensure_ascii=False)
    more = len(document) - _PROVENANCE_CHARACTERS
    cut = f"\n... {more:,} more characters: see the manifests in the output" if more > 0 else ""
    return section(
        "provenance",
        "Provenance",
        paragraph(text("What this page was made from and by.")),
        Html(
            "<details><summary>Settings, versions and digests</summary>"
            f"<pre>{text(document[:_PROVENANCE_CHARACTERS] + cut)}</pre></details>"
        ),
        paragraph(text(_TOOK), "note"),
    )


def flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings with their names joined: ``{"places": {"in": 4}}`` gives ``places in, 4``."""
    for name, value in tree.items():
        label = f"{prefix}{str(name).replace('_', ' ')}"
        if isinstance(value, Mapping):
            yield from flatten(value, f"{label} ")
        else:
            yield label, value


def _group(name: str, group: Mapping[str, Any]) -> Html:
    rows = [(text(label), _shown(value)) for label, value in flatten(group)]
    return table(name.replace("_", " "), ["quantity", "value"], rows)


def _shown(value: object) -> Html:
    if isinstance(value, str | bool):
        return text(value)
    if not is_measured(value):
        return number(value)
    return number(value, 0 if float(value).is_integer() or value >= 10_000 else 2)


def _named(value: object) -> Html:
    """An id or a store; a whole store in quarantine has no id."""
    return (
        Html('<span class="absent">all</span>') if value is None or value != value or value == "" else _clipped(value)
    )


def _clipped(value: object) -> Html:
    words = str(value)
    return text(words if len(words) <= _REASON_CHARACTERS else words[: _REASON_CHARACTERS - 1] + "…")

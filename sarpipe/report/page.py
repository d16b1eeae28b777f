"""The report: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sarpipe.cubes import CubeSet
from sarpipe.report.document import document
from sarpipe.report.explorer import EXPLORER_STYLE, SCRIPT_POLICY, explorer_section, script
from sarpipe.report.loss_curve import training_section
from sarpipe.report.markup import Html, join, number, paragraph, text
from sarpipe.report.projection import projection_section
from sarpipe.report.protocol import labels_section, protocol_section
from sarpipe.report.quality import claims_section, headline, notes_section, quality_section
from sarpipe.report.quicklook import quicklook_section
from sarpipe.report.rate_quality import rate_quality_section
from sarpipe.report.record import compression_section, provenance_section, quarantine_section, summary_list
from sarpipe.report.robustness import robustness_section


@dataclass(frozen=True)
class Report:
    """All that the page shows.

    Attributes:
        title: Heading of the page.
        summary: Short facts: ``places`` (``in``, ``embedded``, ``quarantined``), recipe, preset, source.
        figures: What `sarpipe.evaluate` returns; whatever was not measured is None or missing.
        losses: Columns ``step, epoch, loss, learning_rate``, one row a step; may be empty.
        monitors: Column ``epoch`` and one numeric column a monitor, or None.
        places: The N embedded places, at least one.
        vectors: Their embeddings ``float32 [N, D]``, finite, in the order of ``places.ids``.
        labels: Column ``id`` and a column a label: numbers, or classes as text; None where none were given.
        compression: Numbers by name, or groups of them: bytes a place, ratios of bytes, ratios of values.
        quarantine: Columns ``id`` (None or empty for a whole store), ``store``, ``step``, ``code``, ``reason``,
            ``helps``; may be
            empty.
        provenance: JSON-able: settings, versions, digests.
    """

    title: str
    summary: Mapping[str, Any]
    figures: Mapping[str, Any]
    losses: pd.DataFrame
    monitors: pd.DataFrame | None
    places: CubeSet
    vectors: NDArray[np.float32]
    labels: pd.DataFrame | None
    compression: Mapping[str, Any]
    quarantine: pd.DataFrame
    provenance: Mapping[str, Any]


def render(report: Report) -> str:
    """The report as one HTML document: no address, nothing loaded; the same bytes for the same report.

    Its one script is that of the explorer; without it the rest of the page is the same. Its size is bounded, whatever
    the number of places: see `explorer_section`, `projection_section`, `quicklook_section` and `quarantine_section`
    for what is shown of many.
    """
    sections = join(
        [
            claims_section(report.figures),
            explorer_section(report.places, report.vectors, report.labels),
            quality_section(report.figures),
            labels_section(report.figures),
            protocol_section(report.figures),
            robustness_section(report.figures.get("robustness")),
            training_section(report.losses, report.monitors),
            projection_section(report.places, report.vectors, report.labels),
            quicklook_section(report.places, report.vectors),
            rate_quality_section(report.figures, report.compression),
            compression_section(report.compression),
            quarantine_section(report.quarantine),
            notes_section(report.figures),
            provenance_section(report.provenance),
        ]
    )
    return document(
        report.title, _header(report), sections, style=EXPLORER_STYLE, script=script(), script_policy=SCRIPT_POLICY
    )


def _header(report: Report) -> Html:
    contents = {
        "quality": "Quality",
        **({"labels": "Labels"} if report.figures.get("labels") else {}),
        "protocol": "Splits",
        "robustness": "Robustness",
        "training": "Training",
        "projection": "Projection",
        "quicklook": "Quicklook",
        "forms": "Smaller forms",
        "compression": "Compression",
        "quarantine": "Quarantine",
        "notes": "Notes",
        "provenance": "Provenance",
    }
    # The explorer's own link is shown by its script.
    explorer = Html('<li id="explorer-link" hidden><a href="#explorer">Explorer</a></li>')
    links = explorer + join(Html(f'<li><a href="#{anchor}">{name}</a></li>') for anchor, name in contents.items())
    facts = {name: value for name, value in report.summary.items() if name != "places"}
    return Html(
        f"<header>\n<h1>{text(report.title)}</h1>\n{summary_list(facts)}\n"
        f"{headline(report.figures, number(len(report.places.ids), 0), _account(report))}\n"
        f"{_imbalance(report)}"
        f'<nav aria-label="Contents"><ul>{links}</ul></nav>\n</header>'
    )


def _account(report: Report) -> Html:
    counts = report.summary.get("places") or {}
    went_in = f"of {number(counts['in'], 0)} that went in; " if "in" in counts else ""
    return Html(f"{went_in}{number(counts.get('quarantined', len(report.quarantine)), 0)} in quarantine")


def _imbalance(report: Report) -> Html:
    """A warning where places in are not places embedded and quarantined."""
    counts = report.summary.get("places") or {}
    went_in, quarantined = counts.get("in"), counts.get("quarantined")
    if went_in is None or quarantined is None or went_in == len(report.places.ids) + quarantined:
        return Html("")
    said = f"The account does not close: {went_in} places went in, {len(report.places.ids)} were embedded and "
    return Html(paragraph(text(f"{said}{quarantined} are in quarantine."), "warning") + "\n")

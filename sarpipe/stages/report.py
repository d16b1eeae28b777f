"""Stage report: everything on one page."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pandas as pd

from sarpipe.quarantine import read_quarantine, with_help
from sarpipe.settings import Settings
from sarpipe.stages.conservation import check_embedded, check_evaluated, check_set
from sarpipe.stages.places import load_cubes, source_bytes
from sarpipe.stages.provenance import made_with, provenance
from sarpipe.stages.step import Receipt, Step, make, plan_step, receipt
from sarpipe.storage import Artefact

CODE = (
    "channels.py",
    "checksums.py",
    "cubes.py",
    "evaluate/classes.py",
    "evaluate/labels.py",
    "report",
    "search",
    "embeddings",
    "memory.py",
    "codes.py",
    "quarantine.py",
    "sphere.py",
    "standard.py",
    "stages/conservation.py",
    "stages/places.py",
    "stages/provenance.py",
    "stages/report.py",
)


def plan_report(
    settings: Settings,
    cube_set: Artefact,
    model: Artefact,
    embeddings: Artefact,
    evaluation: Artefact,
    *,
    force: bool = False,
) -> Step:
    """The step that writes the page of these artefacts."""
    return plan_step(
        "report",
        settings.train.preset,
        settings.data / "reports",
        inputs={
            "set": cube_set.digest,
            "model": model.digest,
            "embeddings": embeddings.digest,
            "evaluation": evaluation.digest,
        },
        settings=made_with(cube_set, model),
        code=CODE,
        force=force,
    )


def make_report(step: Step, cube_set: Artefact, model: Artefact, embeddings: Artefact, evaluation: Artefact) -> Receipt:
    """Write ``report.html``, and its pictures ``loss.png`` and ``quicklook.png``."""
    started = time.monotonic()
    artefact, computed = make(step, lambda folder: _write(folder, step, cube_set, model, embeddings, evaluation))
    return receipt(step, artefact, computed=computed, seconds=time.monotonic() - started)


def _write(
    folder: Path, step: Step, cube_set: Artefact, model: Artefact, embeddings: Artefact, evaluation: Artefact
) -> None:
    from sarpipe.embeddings.compression import compression
    from sarpipe.embeddings.geoparquet import read_geoparquet
    from sarpipe.evaluate.labels import LABELS
    from sarpipe.report.loss_curve import loss_png
    from sarpipe.report.page import Report, render
    from sarpipe.report.quicklook import chosen_places, quicklook_png

    places = load_cubes(cube_set)
    table = read_geoparquet(embeddings.path("embeddings.parquet"))
    counts = json.loads(cube_set.path("counts.json").read_bytes())
    figures = json.loads(evaluation.path("figures.json").read_bytes())
    check_set(counts, places.ids)
    check_embedded(places.ids, table.ids, table.vectors)
    check_evaluated(len(places.ids), figures["places"]["given"])
    losses = pd.read_parquet(model.path("losses.parquet"))
    vectors = table.vectors[[table.ids.index(place) for place in places.ids]]
    page = render(
        Report(
            title=f"sarpipe: {len(places.ids)} places",
            summary={
                "places": {
                    "in": counts["places_in"],
                    "embedded": len(table.ids),
                    "quarantined": counts["places_quarantined"],
                },
                "stores refused": counts["stores_refused"],
                "recipe": cube_set.meta["settings"]["name"],
                "preset": model.meta["settings"]["preset"],
            },
            figures=figures,
            losses=losses,
            monitors=pd.read_parquet(model.path("monitors.parquet")),
            places=places,
            vectors=vectors,
            labels=pd.read_parquet(evaluation.path(LABELS)) if LABELS in evaluation.files else None,
            compression=compression(
                source_bytes(cube_set), counts["places_in"], float(places.index["dates"].map(len).mean())
            ),
            quarantine=with_help(read_quarantine(cube_set)),
            provenance=provenance(step),
        )
    )
    (folder / "report.html").write_text(page, encoding="utf-8")
    (folder / "loss.png").write_bytes(loss_png(losses))
    (folder / "quicklook.png").write_bytes(quicklook_png(places, chosen_places(vectors)))

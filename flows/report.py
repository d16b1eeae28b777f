"""Flow report: everything to one page."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from prefect.artifacts import MarkdownArtifact

from sarpipe import __version__
from sarpipe.flows.naming import counted, rename, trained
from sarpipe.flows.parameters import Overrides, Place, Preset, Recipe
from sarpipe.runs.log import note_result, run_cost, stage_log
from sarpipe.settings import resolve
from sarpipe.stages.chain import find_cubes, find_earlier, places_kept
from sarpipe.stages.report import make_report, plan_report
from sarpipe.tasks.artifact import artifact_key, page_link, show
from sarpipe.tasks.outcome import flow
from sarpipe.tasks.policy import run_now
from sarpipe.tasks.report import write_report


@flow(name="report", version=__version__, flow_run_name="report {data}", persist_result=False)
def report(
    data: Place = "data",
    recipe: Recipe = None,
    preset: Preset = None,
    config: Place | None = None,
    overrides: Overrides = None,
    cubes: Place | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Write the report: one self-contained HTML page.

    Args:
        data: All output goes below this folder or URL.
        recipe: Of the cubes, `sar` or `original`; unset, what `config` says, else `sar`.
        preset: Of training, `sar` or `original`; unset, what `config` says, else `sar`.
        config: YAML file of settings.
        overrides: Settings by dotted name, for example `{"train.epochs": 30}`.
        cubes: Folder of a set of cubes; unset, the one that was preprocessed last.
        force: Write the page again although it is there.
    """
    settings = resolve(data=data, recipe=recipe, preset=preset, config=config, overrides=overrides)
    with stage_log(settings, "report"):
        cube_set = find_cubes(settings, cubes)
        places = places_kept(cube_set)
        rename(f"report {trained(settings)}: {counted(places, 'place')}")
        model, embeddings, evaluation = find_earlier(settings, cube_set, "report")
        step = plan_report(settings, cube_set, model, embeddings, evaluation, force=force)
        made_from = (cube_set, model, embeddings, evaluation)
        receipt = run_now(
            write_report,
            step,
            settings,
            *(str(artefact.folder) for artefact in made_from),
            found=partial(make_report, step, *made_from),
        )
        note_result(receipt, places)
    # Of the whole run where this is its last stage. The page itself has nothing that differs from run to run.
    cost = run_cost()
    took = f"\n\n{cost.markdown()}" if cost else ""
    show(
        MarkdownArtifact(
            markdown=page_link(Path(receipt["folder"]) / "report.html") + took,
            key=artifact_key("report", settings, step.name),
            description=f"The report on model {step.name}",
        )
    )
    return receipt

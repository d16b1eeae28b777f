"""Flow report: everything to one page."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from prefect.artifacts import create_markdown_artifact

from sarpipe.settings import resolve
from sarpipe.stages.chain import find_cubes, find_earlier
from sarpipe.stages.report import plan_report
from sarpipe.tasks.artifact import artifact_key, page_link
from sarpipe.tasks.outcome import flow
from sarpipe.tasks.policy import run_now
from sarpipe.tasks.report import write_report


@flow(name="report", flow_run_name="report {data}", persist_result=False)
def report(
    data: str = "data",
    recipe: Literal["sar", "original"] | None = None,
    preset: Literal["sar", "original"] | None = None,
    config: str | None = None,
    overrides: dict[str, Any] | None = None,
    cubes: str | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Write the report: one self-contained HTML page.

    Args:
        data: All output goes below this folder or URL.
        recipe: Of the cubes: `sar` (default) or `original`.
        preset: Of training: `sar` (default) or `original`.
        config: YAML file of settings.
        overrides: Settings by dotted name.
        cubes: Folder of a set of cubes, instead of the last one.
        force: Write the page again although it is there.
    """
    settings = resolve(data=data, recipe=recipe, preset=preset, config=config, overrides=overrides)
    cube_set = find_cubes(settings, cubes)
    model, embeddings, evaluation = find_earlier(settings, cube_set, "report")
    step = plan_report(settings, cube_set, model, embeddings, evaluation, force=force)
    made_from = (str(artefact.folder) for artefact in (cube_set, model, embeddings, evaluation))
    receipt = run_now(write_report, step, settings, *made_from)
    create_markdown_artifact(
        page_link(Path(receipt["folder"]) / "report.html"),
        key=artifact_key("report", settings, step.name),
        description=f"The report on model {step.name}",
    )
    return receipt

"""Everything to one page."""

from __future__ import annotations

from pathlib import Path

from prefect import task

from sarpipe.settings import Settings
from sarpipe.stages.report import make_report
from sarpipe.stages.step import Receipt, Step
from sarpipe.storage import open_verified
from sarpipe.tasks.artifact import artifact_key
from sarpipe.tasks.policy import OPTIONS
from sarpipe.tasks.watch import Watch

TIMEOUT_SECONDS = 3600


@task(**OPTIONS, timeout_seconds=TIMEOUT_SECONDS, task_run_name="report {step.name}")
def write_report(
    step: Step, settings: Settings, cube_set: str, model: str, embeddings: str, evaluation: str
) -> Receipt:
    """Write the page."""
    made_from = (open_verified(Path(folder)) for folder in (cube_set, model, embeddings, evaluation))
    watch = Watch(artifact_key("write", settings, step.name), f"Report on model {step.name}")
    receipt = make_report(step, *made_from)
    watch.show(1, 1, "written" if receipt["computed"] else "was there")
    return receipt

"""Everything to one page."""

from __future__ import annotations

from pathlib import Path

from prefect import task

from sarpipe.stages.report import make_report
from sarpipe.stages.step import Receipt, Step
from sarpipe.storage import open_verified
from sarpipe.tasks.policy import OPTIONS

TIMEOUT_SECONDS = 3600


@task(**OPTIONS, timeout_seconds=TIMEOUT_SECONDS, task_run_name="report {step.name}")
def write_report(step: Step, cube_set: str, model: str, embeddings: str, evaluation: str) -> Receipt:
    """Write the page."""
    made_from = (open_verified(Path(folder)) for folder in (cube_set, model, embeddings, evaluation))
    return make_report(step, *made_from)

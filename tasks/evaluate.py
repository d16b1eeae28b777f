"""Embeddings and baselines to figures."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.logging import get_run_logger

from sarpipe.settings import Settings
from sarpipe.stages.evaluate import EvaluationReceipt, make_evaluation
from sarpipe.stages.step import Step
from sarpipe.storage import open_verified
from sarpipe.tasks.policy import OPTIONS

TIMEOUT_SECONDS = 6 * 3600


@task(**OPTIONS, timeout_seconds=TIMEOUT_SECONDS, task_run_name="evaluate {step.name}")
def evaluate_embeddings(
    step: Step, settings: Settings, cube_set: str, model: str, embeddings: str
) -> EvaluationReceipt:
    """Measure the embeddings beside their baselines."""
    log = get_run_logger()
    cubes, trained, exported = (open_verified(Path(folder)) for folder in (cube_set, model, embeddings))
    receipt = make_evaluation(step, settings, cubes, trained, exported, log.info)
    for claim in receipt["claims"]:
        log.info("%s", claim)
    return receipt

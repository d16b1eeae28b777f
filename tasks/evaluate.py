"""Embeddings and baselines to figures."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.logging import get_run_logger

from sarpipe.settings import Settings
from sarpipe.stages.evaluate import EvaluationReceipt, make_evaluation
from sarpipe.stages.step import Step
from sarpipe.storage import open_verified
from sarpipe.tasks.artifact import artifact_key
from sarpipe.tasks.measures import MeasureTable
from sarpipe.tasks.policy import OPTIONS

TIMEOUT_SECONDS = 6 * 3600


@task(**OPTIONS, timeout_seconds=TIMEOUT_SECONDS, task_run_name="evaluate {step.name}")
def evaluate_embeddings(
    step: Step, settings: Settings, cube_set: str, model: str, embeddings: str
) -> EvaluationReceipt:
    """Measure the embeddings beside their baselines."""
    log = get_run_logger()
    cubes, trained, exported = (open_verified(Path(folder)) for folder in (cube_set, model, embeddings))
    table = MeasureTable(artifact_key("evaluate", settings, step.name), f"Evaluation of model {step.name}")

    def on_measure(words: str) -> None:
        log.info("%s", words)
        table.now(words)

    receipt = make_evaluation(step, settings, cubes, trained, exported, on_measure)
    table.close("measured" if receipt["computed"] else "was there")
    for claim in receipt["claims"]:
        log.info("%s", claim)
    return receipt

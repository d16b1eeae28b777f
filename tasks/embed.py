"""Model and cubes to embeddings."""

from __future__ import annotations

from pathlib import Path

from prefect import task

from sarpipe.settings import Settings
from sarpipe.stages.embed import EmbeddingsReceipt, make_embeddings
from sarpipe.stages.step import Step
from sarpipe.storage import open_verified
from sarpipe.tasks.artifact import artifact_key
from sarpipe.tasks.policy import OPTIONS
from sarpipe.tasks.watch import Watch

TIMEOUT_SECONDS = 6 * 3600


@task(**OPTIONS, timeout_seconds=TIMEOUT_SECONDS, task_run_name="embed with {step.name}")
def embed_places(step: Step, settings: Settings, cube_set: str, model: str) -> EmbeddingsReceipt:
    """Embed all places and export them."""
    watch = Watch(artifact_key("embed", settings, step.name), f"Embedding with model {step.name}")
    receipt = make_embeddings(
        step,
        settings,
        open_verified(Path(cube_set)),
        open_verified(Path(model)),
        lambda done, total: watch.show(done, total, "places"),
    )
    watch.show(1, 1, "embedded" if receipt["computed"] else "was there")
    return receipt

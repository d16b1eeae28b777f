"""Stores to cubes: one task a store, computed on Dask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prefect import task
from prefect.logging import get_run_logger

from sarpipe.quarantine import Refusal
from sarpipe.settings import Settings
from sarpipe.stages.cube_set import SetReceipt, make_set
from sarpipe.stages.preprocess import StoreReceipt, unit_receipt
from sarpipe.stages.step import Step
from sarpipe.stages.worker import TIMEOUT_SECONDS, make_on_worker
from sarpipe.tasks.policy import OPTIONS


# No tag: Prefect asks its server for a slot of each tag, one task after the other, some 20 ms each.
# No timeout of Prefect's, which cannot interrupt a task in a thread: the wait on Dask ends by itself.
@task(**OPTIONS, task_run_name="preprocess {step.name}")
def preprocess_store(step: Step, settings: Settings) -> StoreReceipt:
    """Make the unit of one store on a Dask worker, unless the plan has found it whole."""
    receipt = unit_receipt(step) if step.done else make_on_worker(step, settings)
    get_run_logger().info(
        "%s: %d cubes, %d places in quarantine, %.1f s (%s)",
        step.name,
        receipt["places"],
        receipt["quarantined"],
        receipt["seconds"],
        "computed" if receipt["computed"] else "was there",
    )
    return receipt


@task(**OPTIONS, timeout_seconds=TIMEOUT_SECONDS, task_run_name="collect cubes")
def collect(step: Step, units: Sequence[StoreReceipt], refused: Mapping[str, Refusal]) -> SetReceipt:
    """Make the set of all places."""
    return make_set(step, units, refused)

"""What all tasks share: when to try again, and when a result of an earlier run stands."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

from prefect import Task
from prefect.cache_policies import CacheKeyFnPolicy
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.tasks import exponential_backoff

from sarpipe.stages.step import Step
from sarpipe.storage import inspect

TRANSIENT = (OSError, TimeoutError, MemoryError)
"""What may go away by itself: the disk, the network, memory. Bad data and wrong settings do not; a unit of which Dask
workers died has had its second try (`sarpipe.cluster.compute`)."""


def cache_key(context: TaskRunContext, parameters: Mapping[str, Any]) -> str | None:
    """The step's key and its folder: content decides, and another output folder is another result.

    Prefect's record is a hint that saves the look. Whether the artefact is there was verified by the plan; where it
    is not, the task is called with ``refresh_cache`` (`sarpipe.tasks.policy.prepared`).
    """
    step: Step = parameters["step"]
    return f"sarpipe-{step.stage}-{step.key}-{step.folder}" if step.key else None


def is_transient(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Whether a failed task is worth another try."""
    try:
        state.result()
    except TRANSIENT:
        return True
    except Exception:
        return False
    return False


OPTIONS: dict[str, Any] = {
    "retries": 2,
    "retry_delay_seconds": exponential_backoff(backoff_factor=5),
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": is_transient,
    "cache_policy": CacheKeyFnPolicy(cache_key_fn=cache_key),
    "persist_result": True,
    "result_serializer": "json",
}
"""Retries after about 5 and 10 s; results as JSON, never pickle."""


def prepared(task: Task[..., Any], step: Step) -> Task[..., Any]:
    """The task, told to run although Prefect has a record of it unless the step's artefact is there and whole."""
    return task if step.done else _refreshing(task)


@cache
def _refreshing(task: Task[..., Any]) -> Task[..., Any]:
    # Once a task and not once a step: a task object that Prefect has not seen costs it some ten milliseconds.
    return task.with_options(refresh_cache=True)


def run_now(task: Task[..., Any], step: Step, *arguments: Any) -> dict[str, Any]:
    """Run a task in the flow's own thread, where its timeout can stop it, and give its receipt."""
    return settled(cast(State[Any], prepared(task, step)(step, *arguments, return_state=True)))


def settled(state: State[Any]) -> dict[str, Any]:
    """The receipt in a final state. One that was found by its cache key was not computed in this run; what it says of
    the artefact's bytes is looked up in the artefact, which may have been made again since.

    Raises:
        Exception: What the task failed with.
    """
    receipt: dict[str, Any] = dict(state.result())
    if state.name != "Cached":
        return receipt
    return {**receipt, "computed": False, "seconds": 0.0, "digest": inspect(Path(receipt["folder"])).digest}

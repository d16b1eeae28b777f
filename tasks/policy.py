"""What all tasks share: when to try again, and when a result of an earlier run stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, cast

from prefect import Task
from prefect.cache_policies import CacheKeyFnPolicy
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.tasks import exponential_backoff

from sarpipe.stages.step import Step

TRANSIENT = (OSError, TimeoutError, MemoryError)
"""What may go away by itself: the disk, the network, memory. Bad data and wrong settings do not; a unit of which Dask
workers died has had its second try (`sarpipe.cluster.compute`)."""


def cache_key(context: TaskRunContext, parameters: Mapping[str, Any]) -> str | None:
    """The step's key and its folder: content decides, and another output folder is another result.

    Prefect's record says that the task need not run, and nothing else. Whether the artefact is there was verified by
    the plan; where it is not, the task is called with ``refresh_cache`` (`sarpipe.tasks.policy.prepared`).
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


def run_now(
    task: Task[..., Any], step: Step, *arguments: Any, found: Callable[[], Mapping[str, Any]]
) -> dict[str, Any]:
    """Run a task in the flow's own thread, where its timeout can stop it, and give its receipt; ``found`` as of
    `settled`.
    """
    return settled(cast(State[Any], prepared(task, step)(step, *arguments, return_state=True)), found)


def settled(state: State[Any], found: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """The receipt in a final state.

    Args:
        state: Of the task's run.
        found: The receipt from the artefact itself, for a task that did not run, as Prefect has a record of it. What
            the record says is not read: it may be damaged, or the artefact have been made again since.

    Raises:
        Exception: What the task failed with.
    """
    if state.name != "Cached":
        return dict(state.result())
    receipt = dict(found())
    return receipt if receipt["computed"] else {**receipt, "seconds": 0.0}

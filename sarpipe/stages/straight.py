"""Running the plans straight on Dask: no server, no waiting for one. The flows run the same plans through Prefect."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextvars import copy_context
from typing import Any

from sarpipe.cluster import CALLS, dask_session
from sarpipe.errors import ClusterError, StorageError
from sarpipe.runs.log import note_result, run_log, stage_log
from sarpipe.settings import Settings
from sarpipe.stages.chain import (
    Preprocessed,
    check_given,
    cubes_there,
    find_cubes,
    find_earlier,
    later_stages,
    named,
    places_kept,
    settle,
)
from sarpipe.stages.cube_set import make_set, plan_set
from sarpipe.stages.embed import make_embeddings, plan_embed
from sarpipe.stages.evaluate import make_evaluation, plan_evaluate
from sarpipe.stages.notes import publish
from sarpipe.stages.preprocess import StoreReceipt, plan_preprocess, unit_receipt
from sarpipe.stages.report import make_report, plan_report
from sarpipe.stages.room import check_room
from sarpipe.stages.step import Step
from sarpipe.stages.train import make_model, plan_train
from sarpipe.stages.worker import make_on_worker
from sarpipe.storage import Artefact

OnProgress = Callable[[str, int, int, str], None]
"""Called with the stage, how much is done, of how much, and a note."""


def run(
    settings: Settings,
    source: str | None,
    on_progress: OnProgress,
    *,
    force: bool = False,
    first: str = "preprocess",
) -> dict[str, Any]:
    """All stages from ``first`` on; the result of each by its name, for `sarpipe.stages.chain.summarise`.

    Raises:
        SarpipeError: As the stages do; what the stages before ``first`` make is not there.
    """
    with run_log(settings, "run", source):
        check_given(settings)
        results: dict[str, Any] = {}
        if first == "preprocess":
            results["preprocess"] = preprocess(settings, named(source), on_progress, force=force)
            folder = results["preprocess"]["cube_set"]["folder"]
        else:
            folder = str(cubes_there(settings, source).folder)
        for stage in later_stages(settings, first):
            results[stage] = later(stage, settings, on_progress, cubes=folder, force=force)
        return results


def preprocess(settings: Settings, source: str, on_progress: OnProgress, *, force: bool = False) -> Preprocessed:
    """Stage preprocess: all stores that can be used, side by side."""
    with stage_log(settings, "preprocess", source):
        return _preprocess(settings, source, on_progress, force=force)


def _preprocess(settings: Settings, source: str, on_progress: OnProgress, *, force: bool) -> Preprocessed:
    started = time.monotonic()
    steps = plan_preprocess(settings, source, force=force)
    receipts = {step.name: unit_receipt(step) for step in steps if step.done}
    on_progress("preprocess", len(receipts), len(steps), f"{len(receipts)} done before")
    errors: dict[str, BaseException] = {step.name: step.refusal() for step in steps if step.state == "refused"}
    todo = [step for step in steps if step.name not in receipts and step.name not in errors]
    check_room(settings, todo)
    if todo:
        _on_dask(
            settings,
            todo,
            receipts,
            errors,
            lambda name: on_progress("preprocess", len(receipts) + len(errors), len(steps), name),
        )
    units, refused = settle(steps, receipts, errors)
    cube_set = make_set(plan_set(settings, units, refused), units, refused)
    note_result(cube_set, cube_set["places_kept"])
    publish(settings, cube_set, units, steps, source)
    return {"units": units, "refused": refused, "cube_set": cube_set, "seconds": round(time.monotonic() - started, 2)}


def later(
    stage: str, settings: Settings, on_progress: OnProgress, *, cubes: str | None = None, force: bool = False
) -> Mapping[str, Any]:
    """One of the stages after preprocess, on the cubes that were made last (or on the set at ``cubes``).

    Raises:
        UsageError: A stage before it has not run.
    """
    with stage_log(settings, stage):
        cube_set = find_cubes(settings, cubes)
        receipt = LATER[stage](settings, cube_set, on_progress, force)
        note_result(receipt, places_kept(cube_set))
        return receipt


def _on_dask(
    settings: Settings,
    steps: Sequence[Step],
    receipts: dict[str, StoreReceipt],
    errors: dict[str, BaseException],
    on_store: Callable[[str], None],
) -> None:
    """Make the units of ``steps`` on workers; how each ended goes to ``receipts`` or ``errors``."""
    with (
        ThreadPoolExecutor(min(len(steps), CALLS)) as waiting,
        # Left first, however: then no call waits any longer.
        dask_session(len(steps), workers=settings.workers, address=settings.dask),
    ):
        names = {waiting.submit(copy_context().run, make_on_worker, step, settings): step.name for step in steps}
        for future in as_completed(names):
            error = future.exception()
            if error is None:
                receipts[names[future]] = future.result()
            else:
                errors[names[future]] = error
            on_store(names[future])
            if isinstance(error, StorageError | ClusterError):
                # The disk is full or cannot be written, or no worker is left: no other store will fare better.
                break


def _train(settings: Settings, cube_set: Artefact, on_progress: OnProgress, force: bool) -> Mapping[str, Any]:
    return make_model(
        plan_train(settings, cube_set, force=force),
        settings,
        cube_set,
        lambda step, steps, loss: on_progress("train", step, steps, f"loss {loss:.3f}"),
    )


def _embed(settings: Settings, cube_set: Artefact, on_progress: OnProgress, force: bool) -> Mapping[str, Any]:
    (model,) = find_earlier(settings, cube_set, "embed")
    return make_embeddings(
        plan_embed(settings, cube_set, model, force=force),
        settings,
        cube_set,
        model,
        lambda done, total: on_progress("embed", done, total, "places"),
    )


def _evaluate(settings: Settings, cube_set: Artefact, on_progress: OnProgress, force: bool) -> Mapping[str, Any]:
    model, embeddings = find_earlier(settings, cube_set, "evaluate")
    step = plan_evaluate(settings, cube_set, model, embeddings, force=force)
    receipt = make_evaluation(
        step, settings, cube_set, model, embeddings, lambda what: on_progress("evaluate", 0, 1, what)
    )
    on_progress("evaluate", 1, 1, "figures")
    return receipt


def _report(settings: Settings, cube_set: Artefact, on_progress: OnProgress, force: bool) -> Mapping[str, Any]:
    model, embeddings, evaluation = find_earlier(settings, cube_set, "report")
    step = plan_report(settings, cube_set, model, embeddings, evaluation, force=force)
    on_progress("report", 0, 1, "writing the page")
    receipt = make_report(step, cube_set, model, embeddings, evaluation)
    on_progress("report", 1, 1, "page")
    return receipt


LATER: dict[str, Callable[[Settings, Artefact, OnProgress, bool], Mapping[str, Any]]] = {
    "train": _train,
    "embed": _embed,
    "evaluate": _evaluate,
    "report": _report,
}

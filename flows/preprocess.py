"""Flow preprocess: stores to cubes."""

from __future__ import annotations

import shlex
import time
from contextlib import AbstractContextManager, closing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from prefect.artifacts import MarkdownArtifact, TableArtifact
from prefect.futures import PrefectFuture, as_completed
from prefect.logging import get_run_logger
from prefect.states import Completed
from prefect.task_runners import ThreadPoolTaskRunner

from sarpipe import __version__
from sarpipe.cluster import dask_session
from sarpipe.flows.naming import counted, rename, short
from sarpipe.flows.parameters import Format, Overrides, Place, Recipe, Workers
from sarpipe.quarantine import Refusal
from sarpipe.runs.log import note_result, stage_log
from sarpipe.settings import Settings, resolve
from sarpipe.stages.chain import Preprocessed, settle
from sarpipe.stages.cube_set import SetReceipt, make_set, plan_set
from sarpipe.stages.notes import publish
from sarpipe.stages.picture import cubes_picture
from sarpipe.stages.preprocess import StoreReceipt, plan_preprocess, unit_receipt
from sarpipe.stages.quarantine import quarantine_path
from sarpipe.stages.room import check_room
from sarpipe.stages.step import Step
from sarpipe.storage import address, open_verified
from sarpipe.tasks.artifact import artifact_key, picture, plain, show
from sarpipe.tasks.outcome import flow
from sarpipe.tasks.policy import prepared, run_now, settled
from sarpipe.tasks.preprocess import collect, preprocess_store
from sarpipe.tasks.stores import StoreTable
from sarpipe.tasks.watch import Watch

THREADS = 64
"""Tasks that run at a time. What more than so many Dask workers could do at once would wait here."""
ENTRIES_SHOWN = 200
"""Of the quarantine: an artifact is kept in the server's database."""
REFUSED_NAMED = 3
"""Stores, in the message that a run ends with; all are in the table and in the quarantine."""


@flow(
    name="preprocess",
    version=__version__,
    flow_run_name="preprocess {source}",
    task_runner=ThreadPoolTaskRunner(max_workers=THREADS),
    # A retry of the pipeline shall look at the files again, and not be given this run's old result.
    persist_result=False,
)
def preprocess(
    source: Place,
    data: Place = "data",
    recipe: Recipe = None,
    config: Place | None = None,
    overrides: Overrides = None,
    workers: Workers = None,
    dask: Place | None = None,
    force: bool = False,
    format: Format = None,
) -> Preprocessed:
    """Turn every store that `source` names into cubes: one task a store, on Dask.

    A store that cannot be used fails its task, is named in the quarantine, and does not stop the others.

    Args:
        source: A folder of stores (in any layout), one store, a glob, or a split list; or a URL of one.
        data: All output goes below this folder or URL.
        recipe: How a place becomes a cube, `sar` or `original`; unset, what `config` says, else `sar`.
        config: YAML file of settings.
        overrides: Settings by dotted name, for example `{"recipe.looks": 4.4}`.
        workers: Dask worker processes, 1 to 1,024; unset, one a core.
        dask: Address of a running Dask scheduler, as tcp://127.0.0.1:8786, instead of own workers.
        force: Make every unit again.
        format: `parquet`: write the cubes in this format too.
    """
    started = time.monotonic()
    settings = resolve(
        data=data, recipe=recipe, config=config, overrides=overrides, format=format, workers=workers, dask=dask
    )
    with stage_log(settings, "preprocess", source):
        steps = plan_preprocess(settings, source, force=force)
        rename(f"preprocess {settings.recipe.name}: {counted(len(steps), 'store')} of {short(source)}")
        check_room(settings, steps)
        receipts, errors = _run(settings, steps)
        units, refused = settle(steps, receipts, errors)
        cube_set = _collect(settings, steps, source, units, refused)
    if any(unit["computed"] for unit in units):
        _show_cubes(settings, Path(cube_set["folder"]))
    result: Preprocessed = {
        "units": units,
        "refused": refused,
        "cube_set": cube_set,
        "seconds": round(time.monotonic() - started, 2),
    }
    # The state that Prefect shall end in, whose result this is.
    return Completed(message=_message(settings, result), data=result)  # type: ignore[return-value]


def _collect(
    settings: Settings, steps: list[Step], source: str, units: list[StoreReceipt], refused: dict[str, Refusal]
) -> SetReceipt:
    step = plan_set(settings, units, refused)
    made: SetReceipt = run_now(  # type: ignore[assignment]
        collect, step, units, refused, found=partial(make_set, step, units, refused)
    )
    listed = publish(settings, made, units, steps, source)
    note_result(made, made["places_kept"])
    # Shown last: no answer from the server shall keep back what was made.
    where = address(quarantine_path(settings))
    show(
        TableArtifact(
            # Ids and reasons come from data, and the UI reads Markdown.
            table=[
                {str(name): plain(str(value)) for name, value in row.items()}
                for row in listed.head(ENTRIES_SHOWN).to_dict("records")
            ],
            key=artifact_key("quarantine", settings, settings.recipe.name),
            description=f"{len(listed):,} entries, an empty id for a whole store; all in `{where}`",
        )
    )
    return made


def _run(settings: Settings, steps: list[Step]) -> tuple[dict[str, StoreReceipt], dict[str, BaseException]]:
    """Submit one task a store and wait for all: receipts of those that succeeded, errors of the others."""
    recipe = settings.recipe.name
    watch = Watch(artifact_key("preprocess", settings, recipe), f"Stores of recipe {recipe}")
    table = StoreTable(artifact_key("stores", settings, recipe), steps)
    receipts: dict[str, StoreReceipt] = {}
    errors: dict[str, BaseException] = {}
    steps_by_name = {step.name: step for step in steps}
    # However it ends, the table says how far each store is.
    with closing(table), _workers(settings, sum(not step.done for step in steps)):
        names: dict[PrefectFuture[Any], str] = {
            prepared(preprocess_store, step).submit(step, settings): step.name for step in steps
        }
        for future in as_completed(list(names)):
            name = names[future]
            # Until it has been waited for, a future's state is read from the API and lags.
            future.wait()
            try:
                found = partial(unit_receipt, steps_by_name[name])
                receipts[name] = settled(future.state, found)  # type: ignore[assignment]
                table.made(receipts[name])
            except Exception as error:
                errors[name] = error
                table.failed(name, error)
                get_run_logger().warning("store %s: %s", name, error)
            watch.show(len(receipts) + len(errors), len(steps), name)
    return receipts, errors


def _workers(settings: Settings, busy: int) -> AbstractContextManager[Any]:
    """Dask workers, unless every unit is there."""
    if not busy:
        return nullcontext()
    return dask_session(busy, workers=settings.workers, address=settings.dask)


def _show_cubes(settings: Settings, cube_set: Path) -> None:
    words = f"A few places of the cubes of recipe {settings.recipe.name}, twelve channels each; all are in"
    show(
        MarkdownArtifact(
            markdown=picture(cubes_picture(open_verified(cube_set)), "webp", "twelve channels of a few places"),
            key=artifact_key("quicklook", settings, settings.recipe.name),
            description=f"{words} `{address(cube_set)}`",
        )
    )


def _message(settings: Settings, result: Preprocessed) -> str:
    counts, refused = result["cube_set"], result["refused"]
    computed = sum(unit["computed"] for unit in result["units"])
    words = f"{counts['places_kept']} cubes of {len(result['units'])} stores, {computed} of them computed now"
    if not (counts["places_quarantined"] or refused):
        return words
    words += f"; {counts['places_quarantined']} places quarantined, {len(refused)} stores refused"
    some = list(refused.items())[:REFUSED_NAMED]
    named = [f"refused: {name}: {refusal['reason']} [{refusal['code']}]" for name, refusal in some]
    if len(refused) > REFUSED_NAMED:
        named.append(f"and {len(refused) - REFUSED_NAMED} more")
    listed = shlex.join(["sarpipe", "quarantine", "--data", address(settings.data), "--recipe", settings.recipe.name])
    return "\n".join([words, *named, f"What to do: '{listed}' says how to look at each and how to try it again"])

"""Flow pipeline: the whole way, stage by stage."""

from __future__ import annotations

from typing import Any

from prefect.states import Completed

from sarpipe import __version__
from sarpipe.flows.embed import embed
from sarpipe.flows.evaluate import evaluate
from sarpipe.flows.naming import counted, rename, short, trained
from sarpipe.flows.parameters import Format, Overrides, Place, Preset, Recipe, Stage, Workers
from sarpipe.flows.preprocess import preprocess
from sarpipe.flows.report import report
from sarpipe.flows.train import train
from sarpipe.runs.log import run_log
from sarpipe.settings import resolve
from sarpipe.stages.chain import check_given, cubes_there, find_cubes, later_stages, named, places_kept
from sarpipe.tasks.outcome import flow


@flow(
    name="pipeline",
    version=__version__,
    flow_run_name="pipeline {source}",
    persist_result=True,
    result_serializer="json",
)
def pipeline(
    source: Place | None = None,
    data: Place = "data",
    from_stage: Stage = "preprocess",
    recipe: Recipe = None,
    preset: Preset = None,
    config: Place | None = None,
    overrides: Overrides = None,
    workers: Workers = None,
    dask: Place | None = None,
    force: bool = False,
    format: Format = None,
) -> dict[str, Any]:
    """Stores in; cubes, a trained encoder, embeddings, figures and a page out. What is there and whole is kept.

    Args:
        source: A folder of stores (in any layout), one store, a glob, or a split list; or a URL of one. A run that
            begins at a later stage does without, and takes the cubes that were made last.
        data: All output goes below this folder or URL.
        from_stage: Begin at this stage. What those before it make has to be there: it is verified, and never made.
        recipe: How a place becomes a cube, `sar` or `original`; unset, what `config` says, else `sar`.
        preset: How the encoder is trained, `sar` or `original`; unset, what `config` says, else `sar`.
        config: YAML file of settings.
        overrides: Settings by dotted name, for example `{"train.epochs": 30}`.
        workers: Dask worker processes, 1 to 1,024; unset, one a core.
        dask: Address of a running Dask scheduler, as tcp://127.0.0.1:8786, instead of own workers.
        force: Make everything again, from `from_stage` on.
        format: `parquet`: write the cubes in this format too.
    """
    settings = resolve(data=data, recipe=recipe, preset=preset, config=config, overrides=overrides)
    with run_log(settings, "run", source):
        check_given(settings)
        results: dict[str, Any] = {}
        said: str | None = None
        if from_stage == "preprocess":
            source = named(source)
            first = preprocess(source, data, recipe, config, overrides, workers, dask, force, format, return_state=True)
            results["preprocess"], said = first.result(), first.message
            cube_set = find_cubes(settings, results["preprocess"]["cube_set"]["folder"])
        else:
            cube_set = cubes_there(settings, source)
        of = f" of {short(source)}" if source else ""
        begun = "" if from_stage == "preprocess" else f" from {from_stage}"
        rename(f"pipeline {trained(settings)}{begun}: {counted(places_kept(cube_set), 'place')}{of}")
        common: dict[str, Any] = {
            "data": data,
            "recipe": recipe,
            "preset": preset,
            "config": config,
            "overrides": overrides,
            "cubes": str(cube_set.folder),
            "force": force,
        }
        # One after the other: subflows that run side by side can be given each other's results on a retry
        # (PrefectHQ/prefect 22259).
        flows = {"train": train, "embed": embed, "evaluate": evaluate, "report": report}
        for stage in later_stages(settings, from_stage):
            results[stage] = flows[stage](**common)
    # The state that Prefect shall end in, whose result this is: it says what could not be used.
    return Completed(message=said, data=results)  # type: ignore[return-value]

"""Flow pipeline: the whole way, stage by stage."""

from __future__ import annotations

from typing import Any, Literal

from prefect.states import Completed

from sarpipe.flows.embed import embed
from sarpipe.flows.evaluate import evaluate
from sarpipe.flows.preprocess import preprocess
from sarpipe.flows.report import report
from sarpipe.flows.train import train
from sarpipe.settings import resolve
from sarpipe.stages.chain import later_stages
from sarpipe.tasks.outcome import flow


@flow(name="pipeline", flow_run_name="pipeline {source}", persist_result=True, result_serializer="json")
def pipeline(
    source: str,
    data: str = "data",
    recipe: Literal["sar", "original"] | None = None,
    preset: Literal["sar", "original"] | None = None,
    config: str | None = None,
    overrides: dict[str, Any] | None = None,
    workers: int | None = None,
    dask: str | None = None,
    force: bool = False,
    format: Literal["parquet"] | None = None,
) -> dict[str, Any]:
    """Stores in; cubes, a trained encoder, embeddings, figures and a page out. What is there and whole is kept.

    Args:
        source: A folder of stores (in any layout), one store, a glob, or a split list; or a URL of one.
        data: All output goes below this folder or URL.
        recipe: `sar` (default) or `original`.
        preset: `sar` (default) or `original`.
        config: YAML file of settings.
        overrides: Settings by dotted name, for example `{"train.epochs": 30}`.
        workers: Dask worker processes; by default one a core.
        dask: Address of a running Dask scheduler, instead of own workers.
        force: Make everything again.
        format: `parquet`: write the cubes so too.
    """
    first = preprocess(source, data, recipe, config, overrides, workers, dask, force, format, return_state=True)
    made = first.result()
    common: dict[str, Any] = {
        "data": data,
        "recipe": recipe,
        "preset": preset,
        "config": config,
        "overrides": overrides,
        "cubes": made["cube_set"]["folder"],
        "force": force,
    }
    # One after the other: subflows that run side by side can be given each other's results on a retry
    # (PrefectHQ/prefect 22259).
    settings = resolve(data=data, recipe=recipe, preset=preset, config=config, overrides=overrides)
    flows = {"train": train, "embed": embed, "evaluate": evaluate, "report": report}
    results = {"preprocess": made, **{stage: flows[stage](**common) for stage in later_stages(settings)}}
    # The state that Prefect shall end in, whose result this is: it says what could not be used.
    return Completed(message=first.message, data=results)  # type: ignore[return-value]

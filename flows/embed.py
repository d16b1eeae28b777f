"""Flow embed: model and cubes to embeddings."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from prefect.artifacts import MarkdownArtifact

from sarpipe import __version__
from sarpipe.flows.naming import counted, rename, trained
from sarpipe.flows.parameters import Overrides, Place, Preset, Recipe
from sarpipe.runs.log import note_result, stage_log
from sarpipe.settings import resolve
from sarpipe.stages.chain import find_cubes, find_earlier, places_kept
from sarpipe.stages.embed import make_embeddings, plan_embed
from sarpipe.storage import address
from sarpipe.tasks.artifact import artifact_key, show
from sarpipe.tasks.embed import embed_places
from sarpipe.tasks.outcome import flow
from sarpipe.tasks.policy import run_now


@flow(name="embed", version=__version__, flow_run_name="embed {data}", persist_result=False)
def embed(
    data: Place = "data",
    recipe: Recipe = None,
    preset: Preset = None,
    config: Place | None = None,
    overrides: Overrides = None,
    cubes: Place | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Embed every place by the model of these settings, and export GeoParquet, CSV and Zarr.

    Args:
        data: All output goes below this folder or URL.
        recipe: Of the cubes, `sar` or `original`; unset, what `config` says, else `sar`.
        preset: Of training, `sar` or `original`; unset, what `config` says, else `sar`.
        config: YAML file of settings.
        overrides: Settings by dotted name, for example `{"train.epochs": 30}`.
        cubes: Folder of a set of cubes; unset, the one that was preprocessed last.
        force: Embed again although the embeddings are there.
    """
    settings = resolve(data=data, recipe=recipe, preset=preset, config=config, overrides=overrides)
    with stage_log(settings, "embed"):
        cube_set = find_cubes(settings, cubes)
        places = places_kept(cube_set)
        rename(f"embed {trained(settings)}: {counted(places, 'place')}")
        (model,) = find_earlier(settings, cube_set, "embed")
        step = plan_embed(settings, cube_set, model, force=force)
        found = partial(make_embeddings, step, settings, cube_set, model)
        receipt = run_now(embed_places, step, settings, str(cube_set.folder), str(model.folder), found=found)
        note_result(receipt, places)
    file = Path(receipt["folder"]) / "embeddings.parquet"
    show(
        MarkdownArtifact(
            markdown=f"`{address(file)}`",
            key=artifact_key("embeddings", settings, step.name),
            description=f"{receipt['places']:,} embeddings of model {step.name}",
        )
    )
    return receipt

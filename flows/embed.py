"""Flow embed: model and cubes to embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from prefect.artifacts import create_markdown_artifact

from sarpipe.settings import resolve
from sarpipe.stages.chain import find_cubes, find_earlier
from sarpipe.stages.embed import plan_embed
from sarpipe.storage import address
from sarpipe.tasks.artifact import artifact_key
from sarpipe.tasks.embed import embed_places
from sarpipe.tasks.outcome import flow
from sarpipe.tasks.policy import run_now


@flow(name="embed", flow_run_name="embed {data}", persist_result=False)
def embed(
    data: str = "data",
    recipe: Literal["sar", "original"] | None = None,
    preset: Literal["sar", "original"] | None = None,
    config: str | None = None,
    overrides: dict[str, Any] | None = None,
    cubes: str | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Embed every place by the model of these settings, and export GeoParquet, CSV and Zarr.

    Args:
        data: All output goes below this folder or URL.
        recipe: Of the cubes: `sar` (default) or `original`.
        preset: Of training: `sar` (default) or `original`.
        config: YAML file of settings.
        overrides: Settings by dotted name.
        cubes: Folder of a set of cubes, instead of the last one.
        force: Embed again although the embeddings are there.
    """
    settings = resolve(data=data, recipe=recipe, preset=preset, config=config, overrides=overrides)
    cube_set = find_cubes(settings, cubes)
    (model,) = find_earlier(settings, cube_set, "embed")
    step = plan_embed(settings, cube_set, model, force=force)
    receipt = run_now(embed_places, step, settings, str(cube_set.folder), str(model.folder))
    file = Path(receipt["folder"]) / "embeddings.parquet"
    create_markdown_artifact(
        f"`{address(file)}`",
        key=artifact_key("embeddings", settings, step.name),
        description=f"{receipt['places']:,} embeddings of model {step.name}",
    )
    return receipt

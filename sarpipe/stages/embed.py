"""Stage embed: model and cubes to embeddings."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from sarpipe.settings import Settings
from sarpipe.stages.places import cubes_digest, open_cubes
from sarpipe.stages.provenance import made_with, provenance
from sarpipe.stages.step import Receipt, Step, make, plan_step, receipt
from sarpipe.storage import Artefact

CODE = (
    "channels.py",
    "cubes.py",
    "model",
    "embeddings",
    "evaluate/standard.py",
    "memory.py",
    "stages/places.py",
    "stages/provenance.py",
    "stages/embed.py",
)

OnBatch = Callable[[int, int], None]
"""Called with the places embedded so far, and all places."""


class EmbeddingsReceipt(Receipt):
    """What is known of the embeddings."""

    places: int


def plan_embed(settings: Settings, cube_set: Artefact, model: Artefact, *, force: bool = False) -> Step:
    """The step that embeds all places of this set by this model."""
    return plan_step(
        "embed",
        settings.train.preset,
        settings.data / "embeddings",
        inputs={"cubes": cubes_digest(cube_set), "model": model.digest},
        settings={**made_with(cube_set, model), "folders": _folders(cube_set, model)},
        code=CODE,
        force=force,
    )


def make_embeddings(
    step: Step, settings: Settings, cube_set: Artefact, model: Artefact, on_batch: OnBatch | None = None
) -> EmbeddingsReceipt:
    """Embed, and write what `sarpipe.embeddings.export` says.

    Raises:
        DataError: An embedding is not finite, or an id stands twice.
    """
    import pyarrow.parquet as pq

    started = time.monotonic()
    artefact, computed = make(step, lambda folder: _embed(folder, step, settings, cube_set, model, on_batch))
    places = pq.read_metadata(artefact.path("embeddings.parquet")).num_rows
    return {**receipt(step, artefact, computed=computed, seconds=time.monotonic() - started), "places": places}


def _embed(
    folder: Path, step: Step, settings: Settings, cube_set: Artefact, model: Artefact, on_batch: OnBatch | None
) -> None:
    from sarpipe.embeddings.export import export
    from sarpipe.embeddings.origin import Origin
    from sarpipe.embeddings.table import Embeddings
    from sarpipe.model.extract import embed
    from sarpipe.model.weights import load_encoder

    places = open_cubes(cube_set, settings.memory_gb)
    vectors = embed(load_encoder(model.folder), places.cubes, device=settings.device, progress=on_batch)
    folders = _folders(cube_set, model)
    origin = Origin(
        name="" if step.folder is None else step.folder.name,
        provenance=provenance(step),
        model=model.digest,
        cubes=cubes_digest(cube_set),
        model_href=f"../../{folders['model']}/encoder.json",
        cubes_href=f"../../{folders['cubes']}/",
    )
    export(folder, Embeddings(places.ids, vectors, places.index), origin)


def _folders(cube_set: Artefact, model: Artefact) -> dict[str, str]:
    """Where model and cubes lie below the output: the embeddings link to them, so it belongs to their key."""
    return {"model": f"models/{model.folder.name}", "cubes": f"cubes/{cube_set.folder.parent.name}"}

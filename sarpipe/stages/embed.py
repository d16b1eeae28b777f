"""Stage embed: model and cubes to embeddings."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sarpipe.energy import Energy, Meter, gpu
from sarpipe.settings import Settings
from sarpipe.stages.conservation import check_embedded, check_trained
from sarpipe.stages.places import cubes_digest, open_cubes
from sarpipe.stages.provenance import made_with, provenance
from sarpipe.stages.step import Receipt, Step, make, plan_step, receipt
from sarpipe.storage import Artefact, digest_json, read_small, write_small

if TYPE_CHECKING:
    from sarpipe.embeddings.origin import Origin
    from sarpipe.embeddings.table import Embeddings

CODE = (
    "channels.py",
    "checksums.py",
    "cubes.py",
    "model",
    "embeddings",
    "energy.py",
    "standard.py",
    "memory.py",
    "stages/conservation.py",
    "stages/places.py",
    "stages/provenance.py",
    "stages/embed.py",
)

OnBatch = Callable[[int, int], None]
"""Called with the places embedded so far, and all places."""


class EmbeddingsReceipt(Receipt):
    """What is known of the embeddings; ``energy`` is None if what making them took was not noted."""

    places: int
    energy: dict[str, Any] | None


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
    """Embed, and write what `sarpipe.embeddings.export` says; and ``energy/<name of the folder>.json``: what computing
    the vectors took. That is no property of the embeddings and differs from run to run, so it is neither in
    their files nor in their manifest, which are the same bytes whenever they are made.

    Raises:
        DataError: An embedding is not finite, or an id stands twice.
    """
    import pyarrow.parquet as pq

    started = time.monotonic()
    if step.folder is None:
        raise ValueError(f"step {step.stage} {step.name} has no folder: {step.why}")
    name, note = step.folder.name, settings.data / "energy" / f"{step.folder.name}.json"

    def write(folder: Path) -> None:
        from sarpipe.embeddings.export import export

        table, energy = _embed(settings, cube_set, model, on_batch)
        _note(note, energy.document(len(table.ids)))
        export(folder, table, _origin(name, step, cube_set, model))

    artefact, computed = make(step, write)
    places = pq.read_metadata(artefact.path("embeddings.parquet")).num_rows
    seconds = time.monotonic() - started
    return {
        **receipt(step, artefact, computed=computed, seconds=seconds),
        "places": places,
        "energy": _noted(note),
    }


def _embed(
    settings: Settings, cube_set: Artefact, model: Artefact, on_batch: OnBatch | None
) -> tuple[Embeddings, Energy]:
    import pyarrow.parquet as pq

    from sarpipe.embeddings.table import Embeddings
    from sarpipe.model.extract import embed
    from sarpipe.model.weights import load_encoder

    places = open_cubes(cube_set, settings.memory_gb)
    if model.meta["inputs"].get("cubes") == cubes_digest(cube_set):
        check_trained(model, len(places.ids))
    encoder = load_encoder(model.folder)
    meter = Meter(gpu(settings.device))

    def progress(done: int, total: int) -> None:
        meter.tick()
        if on_batch is not None:
            on_batch(done, total)

    vectors = embed(encoder, places.cubes, device=settings.device, progress=progress)
    table = Embeddings(places.ids, vectors, places.index)
    kept = pq.read_table(cube_set.path("index.parquet"), columns=["id"])["id"].to_pylist()
    check_embedded(kept, table.ids, table.vectors)
    return table, meter.stop()


def _origin(name: str, step: Step, cube_set: Artefact, model: Artefact) -> Origin:
    from sarpipe.embeddings.origin import Origin

    folders = _folders(cube_set, model)
    return Origin(
        name=name,
        provenance=provenance(step),
        model=model.digest,
        cubes=cubes_digest(cube_set),
        model_href=f"../../{folders['model']}/encoder.json",
        cubes_href=f"../../{folders['cubes']}/",
    )


def _note(path: Path, energy: dict[str, Any]) -> None:
    document = {"energy": energy, "checksum": digest_json(energy)}
    write_small(path, json.dumps(document, indent=2).encode())


def _noted(path: Path) -> dict[str, Any] | None:
    try:
        noted = json.loads(read_small(path))
        energy: dict[str, Any] = noted["energy"]
        return energy if noted["checksum"] == digest_json(energy) else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _folders(cube_set: Artefact, model: Artefact) -> dict[str, str]:
    """Where model and cubes lie below the output: the embeddings link to them, so it belongs to their key."""
    return {"model": f"models/{model.folder.name}", "cubes": f"cubes/{cube_set.folder.parent.name}"}

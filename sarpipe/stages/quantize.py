"""Stage quantize: embeddings in a smaller form, and back. No part of the pipeline: it is asked for by name."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sarpipe.errors import UsageError
from sarpipe.settings import Settings
from sarpipe.stages.step import Receipt, Step, make, plan_step, receipt
from sarpipe.storage import Artefact
from sarpipe.storage.artefact import verify_part
from sarpipe.storage.durable import write_out

CODE = ("channels.py", "embeddings", "stages/quantize.py")


class QuantizedReceipt(Receipt):
    """What is known of a smaller form."""

    places: int
    file: str
    bytes_a_place: int
    overhead_bytes: int
    dates_a_place: float


def plan_quantize(settings: Settings, embeddings: Artefact, form: str, *, force: bool = False) -> Step:
    """The step that writes these embeddings in the form of this name."""
    return plan_step(
        "quantize",
        form,
        settings.data / "embeddings",
        inputs={"embeddings": embeddings.digest},
        settings={"form": form},
        code=CODE,
        force=force,
    )


def make_quantized(step: Step, embeddings: Artefact) -> QuantizedReceipt:
    """Learn the form from all places and encode them: ``embeddings.FORM.parquet``.

    Raises:
        DataError: There are too few places to learn the form from.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from sarpipe.embeddings.quantized import read_form

    started = time.monotonic()
    name = f"embeddings.{step.name}.parquet"
    artefact, computed = make(step, lambda folder: _quantize(folder / name, step, embeddings))
    form, places = read_form(artefact.path(name))
    dates = pq.read_table(artefact.path(name), columns=["dates"])["dates"]
    return {
        **receipt(step, artefact, computed=computed, seconds=time.monotonic() - started),
        "places": places,
        "file": name,
        "bytes_a_place": form.bytes_a_place,
        "overhead_bytes": form.overhead_bytes,
        "dates_a_place": float(pc.mean(pc.list_value_length(dates)).as_py()),
    }


def dequantize(file: Path, out: Path) -> int:
    """Write a smaller form as float32 GeoParquet, all of it or nothing; how many places it has.

    Raises:
        UsageError: ``file`` is not there, or ``out`` is.
        DamagedError: ``file`` does not match the manifest beside it.
        DataError: ``file`` is no smaller form, or is damaged.
        StorageError: ``out`` cannot be written.
    """
    from sarpipe.embeddings.geoparquet import write_geoparquet
    from sarpipe.embeddings.quantized import read_quantized

    if not file.is_file():
        raise UsageError(f"{file} is not there", "'sarpipe quantize FORM' writes such a file and says where")
    if out.exists():
        raise UsageError(f"{out} is there already", "Name another file, or remove it")
    verify_part(file)
    embeddings, provenance, form = read_quantized(file)
    write_out(out, lambda path: write_geoparquet(path, embeddings, {**provenance, "decoded_from": form}))
    return len(embeddings.ids)


def _quantize(path: Path, step: Step, embeddings: Artefact) -> None:
    from sarpipe.embeddings.forms import FORMS
    from sarpipe.embeddings.geoparquet import read_geoparquet, read_provenance
    from sarpipe.embeddings.quantized import write_quantized

    source = embeddings.path("embeddings.parquet")
    table = read_geoparquet(source)
    provenance: Mapping[str, Any] = {"embeddings": read_provenance(source), "inputs": step.meta["inputs"]}
    write_quantized(path, table, FORMS[step.name].fit(table.vectors), provenance)

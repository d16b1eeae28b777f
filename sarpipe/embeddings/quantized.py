"""Embeddings in a smaller form as GeoParquet: the codes, and in the file's metadata all that decode needs."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sarpipe.channels import EMBED_DIM
from sarpipe.codes import Code
from sarpipe.embeddings.forms import FORMS, Form
from sarpipe.embeddings.geoparquet import read_places, read_provenance, to_json, write_places
from sarpipe.embeddings.table import Embeddings
from sarpipe.errors import DataError
from sarpipe.storage import digest_json

VERSION = 2
"""Of what is said of the form. That of version 1 had no checksum, so nobody knows whether it is what was written."""
_FORM, _PROVENANCE = "sarpipe:form", "sarpipe"
_SCALE = pa.field("scale", pa.float32(), nullable=False)
_TYPES = {"<f4": np.dtype("<f4"), "<i4": np.dtype("<i4")}
_HINT = "Give a file that 'sarpipe quantize' wrote"


def write_quantized(path: Path, embeddings: Embeddings, form: Form, provenance: Mapping[str, Any]) -> None:
    """Write one row a place, as `sarpipe.embeddings.geoparquet.write_geoparquet`, with its code as ``embedding``.

    ``embedding`` is a fixed-size list of the form's numbers (halffloat, int8 or uint8); of ``int8`` the place's scale
    is a column, ``scale``. In the file's metadata, as JSON: ``sarpipe:form``, the form's name and what it has learnt
    (arrays as base64 of little-endian numbers), with its own SHA-256, as metadata have no checksum of a page;
    ``sarpipe``, the provenance. Same embeddings, form and provenance, same bytes.

    Args:
        path: The file.
        embeddings: The table.
        form: Learnt from the same kind of embeddings.
        provenance: JSON-able without NaN.
    """
    codes = form.encode(embeddings.vectors)
    width = form.bytes_a_place - (_SCALE.type.bit_width // 8 if form.scaled else 0)
    numbers = np.ascontiguousarray(codes[:, :width]).view(form.element)
    columns = {"embedding": pa.FixedSizeListArray.from_arrays(pa.array(numbers.ravel()), numbers.shape[1])}
    if form.scaled:
        columns[_SCALE.name] = pa.array(np.ascontiguousarray(codes[:, width:]).view("<f4").ravel())
    write_places(
        path, embeddings, columns, {_PROVENANCE: to_json(provenance)}, beside={_FORM: to_json(_describe(form))}
    )


def is_quantized(path: Path) -> bool:
    """Whether a file was written by `write_quantized`; False for what cannot be read as Parquet."""
    try:
        return _FORM.encode() in (pq.read_metadata(path).metadata or {})
    except (OSError, pa.ArrowException):
        return False


def read_quantized(path: Path) -> tuple[Embeddings, Mapping[str, Any], str]:
    """The embeddings, decoded, in the order of the file; the provenance; the name of the form.

    Raises:
        DataError: The file cannot be read, was not written by `write_quantized`, or its metadata do not fit together.
    """
    form, _ = read_form(path)
    per_number = form.element.itemsize
    width = form.bytes_a_place - (_SCALE.type.bit_width // 8 if form.scaled else 0)
    column = pa.list_(pa.from_numpy_dtype(form.element), width // per_number)
    wanted = [pa.field("embedding", column), *([_SCALE] if form.scaled else [])]
    table, index = read_places(path, wanted)
    numbers = table["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    codes = np.ascontiguousarray(numbers).view(np.uint8).reshape(len(index), width)
    if form.scaled:
        scale = table[_SCALE.name].to_numpy().astype("<f4")[:, None]
        codes = np.concatenate([codes, np.ascontiguousarray(scale).view(np.uint8)], axis=1)
    return Embeddings(tuple(index["id"]), form.decode(codes), index), read_provenance(path), name_of(form)


def _describe(form: Form) -> dict[str, Any]:
    numbers = {field.name: value for field in fields(form) if isinstance(value := getattr(form, field.name), int)}
    arrays = {
        key: {
            "dtype": array.dtype.newbyteorder("<").str,
            "shape": list(array.shape),
            "base64": base64.b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode(),
        }
        for key, array in form.arrays().items()
    }
    said = {
        "version": VERSION,
        "form": name_of(form),
        "bytes_a_place": form.bytes_a_place,
        "overhead_bytes": form.overhead_bytes,
        "numbers": numbers,
        "arrays": arrays,
    }
    return {**said, "checksum": digest_json(said)}


def name_of(form: Form) -> str:
    """What `sarpipe.embeddings.forms.FORMS` calls it."""
    return next(name for name, kind in FORMS.items() if type(form) is kind)


def read_form(path: Path) -> tuple[Form, int]:
    """The form of a file that `write_quantized` wrote, and how many places it has.

    Raises:
        DataError: As `read_quantized`.
    """
    try:
        found = pq.read_metadata(path)
        metadata = found.metadata or {}
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"{path} cannot be read as Parquet: {' '.join(str(error).split())}", _HINT, code=Code.BAD_TABLE
        ) from error
    if _FORM.encode() not in metadata:
        raise DataError(
            f"{path} holds no smaller form of embeddings: its metadata have no {_FORM}", _HINT, code=Code.BAD_TABLE
        )
    try:
        said = json.loads(metadata[_FORM.encode()])
        if said["version"] != VERSION:
            raise DataError(
                f"{path} has version {said['version']} of {_FORM}, this sarpipe reads {VERSION}",
                "Run 'sarpipe quantize FORM' again, or read it with the sarpipe that wrote it",
                code=Code.BAD_TABLE,
            )
        if said.pop("checksum") != digest_json(said):
            raise ValueError("they do not match their checksum")
        arrays = {name: _array(one) for name, one in said["arrays"].items()}
        form = FORMS[said["form"]](**said["numbers"], **arrays)
        form.check(EMBED_DIM)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise DataError(
            f"{path}: the metadata {_FORM} are damaged: {type(error).__name__} {error}", _HINT, code=Code.BAD_TABLE
        ) from error
    if form.bytes_a_place != said["bytes_a_place"]:
        raise DataError(
            f"{path}: the metadata say {said['bytes_a_place']} bytes a place, what decode needs says "
            f"{form.bytes_a_place}",
            _HINT,
            code=Code.BAD_TABLE,
        )
    return form, found.num_rows


def _array(said: Mapping[str, Any]) -> NDArray[Any]:
    values = np.frombuffer(base64.b64decode(said["base64"], validate=True), _TYPES[said["dtype"]])
    if not np.isfinite(values).all():
        raise ValueError("a number is not finite")
    return values.reshape(said["shape"])

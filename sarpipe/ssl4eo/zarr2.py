"""One array of a Zarr v2 group, read strictly: what is missing is an error and not a fill value."""

from __future__ import annotations

import itertools
import json
import math
import operator
import re
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sarpipe.codes import Code
from sarpipe.errors import DataError
from sarpipe.ssl4eo.codec import decode_into

MAX_ARRAY_BYTES = 128 * 1024 * 1024
MAX_CHUNKS = 4096
MAX_AXES = 5
_DTYPE = re.compile(r"[<>|][fiuU][1-9]\d{0,4}", re.ASCII)


class Files(Protocol):
    """The files of a store or of a single place, checked when they are read (`sarpipe.ssl4eo.archive.Archive`)."""

    @property
    def path(self) -> object:
        """What they are called in messages."""

    def __contains__(self, name: str) -> bool: ...

    def read(self, name: str) -> bytes:
        """The bytes of one file; a `DataError` if they are not what they were."""


@dataclass(frozen=True)
class ArrayInfo:
    """What ``.zarray`` and ``.zattrs`` say of one array, checked."""

    name: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    compressor: dict[str, Any] | None
    fill: Any
    separator: str
    attributes: dict[str, Any]

    @property
    def grid(self) -> tuple[int, ...]:
        """Chunks along each axis."""
        return tuple(-(-size // chunk) for size, chunk in zip(self.shape, self.chunks, strict=True))


def array_info(archive: Files, name: str) -> ArrayInfo:
    """Read and check the metadata of an array; nothing is allocated.

    Raises:
        DataError: It is missing, is not Zarr v2, or is larger than any array of the data set.
    """
    where = f"{archive.path}/{name}"
    if f"{name}/.zarray" not in archive:
        if "zarr.json" in archive:
            raise DataError(
                f"{archive.path} is a Zarr v3 store", "SSL4EO-S12 v1.1 is Zarr v2: fetch it again", code=Code.LAYOUT
            )
        raise DataError(
            f"{archive.path} has no variable {name!r}",
            "Is it a SSL4EO-S12 v1.1 S1GRD store (Zarr v2)?",
            code=Code.LAYOUT,
        )
    document = _json(archive, f"{name}/.zarray")
    try:
        info = ArrayInfo(
            name=name,
            shape=_sizes(document["shape"]),
            chunks=_sizes(document["chunks"]),
            dtype=_dtype(document["dtype"]),
            compressor=_compressor(document["compressor"]),
            fill=document["fill_value"],
            separator=document.get("dimension_separator", "."),
            attributes=_json(archive, f"{name}/.zattrs") if f"{name}/.zattrs" in archive else {},
        )
        plain = document["zarr_format"] == 2 and document["order"] == "C" and not document["filters"]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{where}/.zarray cannot be used: {error!r}", "Fetch the store again", code=Code.METADATA
        ) from error
    if not plain or info.separator not in (".", "/"):
        raise DataError(
            f"{where}: needs a plain Zarr v2 array in C order, found {str(document)[:500]}",
            code=Code.CODEC if document["filters"] else Code.METADATA,
        )
    _check_size(info, where)
    return info


def read_array(
    archive: Files, info: ArrayInfo, *, empty_is_fill: bool = False, out: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Decode a whole array.

    Args:
        archive: The store.
        info: From `array_info`.
        empty_is_fill: Whether a chunk that is not there stands for its fill value (Zarr leaves out chunks that
            hold nothing else), as is right for coordinates that may be unknown. Otherwise it is an error: zarr
            itself would give 0 dB, a plausible backscatter, without a word.
        out: Where to, of the array's shape and dtype; any strides. A chunk that falls on contiguous memory is
            decoded straight into it.

    Raises:
        DataError: A chunk is missing or damaged.
    """
    result = np.empty(info.shape, dtype=info.dtype) if out is None else out
    for position in itertools.product(*(range(count) for count in info.grid)):
        start = tuple(i * chunk for i, chunk in zip(position, info.chunks, strict=True))
        # The dots keep what has no axes an array.
        region: tuple[Any, ...] = (*(slice(s, s + chunk) for s, chunk in zip(start, info.chunks, strict=True)), ...)
        key = f"{info.name}/{info.separator.join(map(str, position)) or '0'}"
        target = result[region]
        if key in archive:
            _read_chunk(archive, info, key, target)
        elif empty_is_fill:
            target[...] = _fill(archive, info)
        else:
            # Also where the fill value is NaN: a date that was lost would look like one that was never there.
            raise DataError(
                f"{archive.path}: chunk {key} is missing",
                "Fetch the store again; one without data there has to hold a chunk that says so",
                code=Code.MISSING_CHUNK,
            )
    return result


def _read_chunk(archive: Files, info: ArrayInfo, key: str, target: NDArray[Any]) -> None:
    where = f"{archive.path}/{key}"
    if target.shape == info.chunks and target.flags.c_contiguous:
        decode_into(archive.read(key), info.compressor, target, where)
        return
    # Chunks at the end of an axis are as large as all others.
    chunk = np.empty(info.chunks, info.dtype)
    decode_into(archive.read(key), info.compressor, chunk, where)
    target[...] = chunk[tuple(slice(0, size) for size in target.shape)]


def _fill(archive: Files, info: ArrayInfo) -> NDArray[Any]:
    """The fill value; where there is none, or Zarr's default of 0, NaN for floats: 0 degrees would be a place."""
    floating = info.dtype.kind == "f"
    if info.fill is None or info.fill == 0:
        return np.array(math.nan if floating else 0, info.dtype)
    try:
        # JSON says "NaN" and "Infinity" as text, which float() reads.
        with np.errstate(over="raise"):
            return np.array(float(info.fill) if floating else operator.index(info.fill), info.dtype)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise DataError(
            f"{archive.path}/{info.name}: fill value {str(info.fill)[:50]!r} cannot be used", code=Code.METADATA
        ) from error


def _sizes(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(size) is int for size in value):
        raise ValueError(f"{str(value)[:50]!r} is not a list of sizes")
    return tuple(value)


def _dtype(value: Any) -> np.dtype[Any]:
    if not isinstance(value, str) or not _DTYPE.fullmatch(value):
        raise ValueError(f"dtype {str(value)[:50]!r} is neither a number nor text")
    return np.dtype(value)


def _compressor(value: Any) -> dict[str, Any] | None:
    if value is not None and not (isinstance(value, dict) and isinstance(value.get("id"), str)):
        raise ValueError(f"compressor {str(value)[:50]!r} has no id")
    return value


def _check_size(info: ArrayInfo, where: str) -> None:
    sane = len(info.shape) == len(info.chunks) <= MAX_AXES and all(size >= 1 for size in info.shape + info.chunks)
    small = sane and (
        math.prod(info.shape) * info.dtype.itemsize <= MAX_ARRAY_BYTES
        and math.prod(info.chunks) * info.dtype.itemsize <= MAX_ARRAY_BYTES
        and math.prod(info.grid) <= MAX_CHUNKS
    )
    if not small:
        raise DataError(
            f"{where}: shape {str(info.shape)[:100]} in chunks {str(info.chunks)[:100]} of {info.dtype} "
            f"is not of the data set",
            "Fetch the store again",
            code=Code.TOO_LARGE if sane else Code.SCHEMA,
        )


def _json(archive: Files, name: str) -> dict[str, Any]:
    try:
        document = json.loads(archive.read(name))
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{archive.path}/{name} is not JSON: {error}", "Fetch the store again", code=Code.METADATA
        ) from error
    if not isinstance(document, dict):
        raise DataError(f"{archive.path}/{name} is not a JSON object", "Fetch the store again", code=Code.METADATA)
    return document

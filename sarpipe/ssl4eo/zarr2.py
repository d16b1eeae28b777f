"""One array of a Zarr v2 group, read strictly: what is missing is an error and not a fill value."""

from __future__ import annotations

import itertools
import json
import math
import operator
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sarpipe.errors import DataError
from sarpipe.ssl4eo.archive import Archive
from sarpipe.ssl4eo.codec import decode

MAX_ARRAY_BYTES = 128 * 1024 * 1024
MAX_CHUNKS = 4096
MAX_AXES = 5
_DTYPE = re.compile(r"[<>|][fiuU][1-9]\d{0,4}", re.ASCII)


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


def array_info(archive: Archive, name: str) -> ArrayInfo:
    """Read and check the metadata of an array; nothing is allocated.

    Raises:
        DataError: It is missing, is not Zarr v2, or is larger than any array of the data set.
    """
    where = f"{archive.path}/{name}"
    if f"{name}/.zarray" not in archive:
        if "zarr.json" in archive:
            raise DataError(f"{archive.path} is a Zarr v3 store", "SSL4EO-S12 v1.1 is Zarr v2: fetch it again")
        raise DataError(f"{archive.path} has no variable {name!r}", "Is it a SSL4EO-S12 v1.1 S1GRD store (Zarr v2)?")
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
        raise DataError(f"{where}/.zarray cannot be used: {error!r}", "Fetch the store again") from error
    if not plain or info.separator not in (".", "/"):
        raise DataError(f"{where}: needs a plain Zarr v2 array in C order, found {str(document)[:500]}")
    _check_size(info, where)
    return info


def read_array(archive: Archive, info: ArrayInfo, *, empty_is_fill: bool = False) -> NDArray[Any]:
    """Decode a whole array.

    Args:
        archive: The store.
        info: From `array_info`.
        empty_is_fill: Whether a chunk that is not there stands for its fill value (Zarr leaves out chunks that
            hold nothing else), as is right for coordinates that may be unknown. Otherwise it is an error: zarr
            itself would give 0 dB, a plausible backscatter, without a word.

    Raises:
        DataError: A chunk is missing or damaged.
    """
    result = np.empty(info.shape, dtype=info.dtype)
    for position in itertools.product(*(range(count) for count in info.grid)):
        start = tuple(i * chunk for i, chunk in zip(position, info.chunks, strict=True))
        region = tuple(slice(s, s + chunk) for s, chunk in zip(start, info.chunks, strict=True))
        key = f"{info.name}/{info.separator.join(map(str, position)) or '0'}"
        if key in archive:
            inside = tuple(slice(0, size) for size in result[region].shape)
            result[region] = _chunk(archive, info, key)[inside]
        elif empty_is_fill:
            result[region] = _fill(archive, info)
        else:
            raise DataError(f"{archive.path}: chunk {key} is missing", "Fetch the store again")
    return result


def _chunk(archive: Archive, info: ArrayInfo, key: str) -> NDArray[Any]:
    expected = math.prod(info.chunks) * info.dtype.itemsize
    data = decode(archive.read(key), info.compressor, expected, f"{archive.path}/{key}")
    return np.frombuffer(data, dtype=info.dtype).reshape(info.chunks)


def _fill(archive: Archive, info: ArrayInfo) -> NDArray[Any]:
    """The fill value; where there is none, NaN for floats: 0 degrees would be a place."""
    floating = info.dtype.kind == "f"
    if info.fill is None:
        return np.array(math.nan if floating else 0, info.dtype)
    try:
        # JSON says "NaN" and "Infinity" as text, which float() reads.
        with np.errstate(over="raise"):
            return np.array(float(info.fill) if floating else operator.index(info.fill), info.dtype)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise DataError(f"{archive.path}/{info.name}: fill value {str(info.fill)[:50]!r} cannot be used") from error


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
    sane = (
        len(info.shape) == len(info.chunks) <= MAX_AXES
        and all(size >= 1 for size in info.shape + info.chunks)
        and math.prod(info.shape) * info.dtype.itemsize <= MAX_ARRAY_BYTES
        and math.prod(info.chunks) * info.dtype.itemsize <= MAX_ARRAY_BYTES
        and math.prod(info.grid) <= MAX_CHUNKS
    )
    if not sane:
        raise DataError(
            f"{where}: shape {str(info.shape)[:100]} in chunks {str(info.chunks)[:100]} of {info.dtype} "
            f"is not of the data set",
            "Fetch the store again",
        )


def _json(archive: Archive, name: str) -> dict[str, Any]:
    try:
        document = json.loads(archive.read(name))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{archive.path}/{name} is not JSON: {error}", "Fetch the store again") from error
    if not isinstance(document, dict):
        raise DataError(f"{archive.path}/{name} is not a JSON object", "Fetch the store again")
    return document

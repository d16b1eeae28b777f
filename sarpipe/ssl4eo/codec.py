"""Decoding one chunk: only codecs that cannot run code, and never more bytes than the schema allows."""

from __future__ import annotations

import zlib
from typing import Any

import numcodecs
import numpy as np
from numpy.typing import NDArray

from sarpipe.codes import Code
from sarpipe.errors import DataError

ALLOWED = ("blosc", "lz4", "zlib", "zstd")
"""Compressors that only decompress. ``pickle`` and the like, which run code found in data, are refused."""


def decode_into(data: bytes, compressor: dict[str, Any] | None, out: NDArray[Any], where: str) -> None:
    """Decompress one chunk into memory that is there already, so that nothing is copied a second time.

    Args:
        data: The chunk as stored.
        compressor: The ``compressor`` entry of ``.zarray``; None means stored as it is.
        out: C-contiguous, of the chunk's decoded size; filled.
        where: Store and chunk, for messages.

    Raises:
        DataError: The codec is not allowed, the data is damaged, or it declares another size. A declared
            size is checked before anything is decompressed.
    """
    expected = out.nbytes
    name = compressor.get("id") if compressor else None
    if name is not None and name not in ALLOWED:
        raise DataError(f"{where}: codec {name!r} is not allowed", f"Allowed are {', '.join(ALLOWED)}", code=Code.CODEC)
    declared = _declared_size(data, name)
    if declared == -1:
        raise DataError(
            f"{where}: its {name} header is damaged ({len(data):,} bytes)", "Fetch the store again", code=Code.BAD_CHUNK
        )
    if declared is not None and declared != expected:
        raise DataError(
            f"{where}: decodes to {declared:,} bytes, expected {expected:,}",
            "Fetch the store again",
            code=_of_size(declared, expected),
        )
    try:
        size = _decode(data, name, out.reshape(-1).view(np.uint8))
    except (RuntimeError, ValueError, zlib.error) as error:
        raise DataError(f"{where}: cannot be decoded: {error}", "Fetch the store again", code=Code.BAD_CHUNK) from error
    if size != expected:
        raise DataError(
            f"{where}: decodes to {size:,} bytes, expected {expected:,}",
            "Fetch the store again",
            code=_of_size(size, expected),
        )


def _of_size(found: int, expected: int) -> Code:
    """Of which kind it is that a chunk decodes to another size."""
    return Code.TOO_LARGE if found > expected else Code.BAD_CHUNK


def _declared_size(data: bytes, name: str | None) -> int | None:
    """Decoded bytes that the chunk's own header declares; None where the format has no such field."""
    if name == "blosc":
        # The header's last field is the size of the compressed chunk: a cut chunk must not reach the decoder.
        whole = len(data) >= 16 and int.from_bytes(data[12:16], "little") == len(data)
        return int.from_bytes(data[4:8], "little") if whole else -1
    if name == "lz4":
        return int.from_bytes(data[0:4], "little") if len(data) >= 4 else -1
    if name == "zstd":
        return _zstd_size(data)
    return len(data) if name is None else None


def _zstd_size(data: bytes) -> int:
    """Frame_Content_Size of a Zstandard frame (RFC 8878, 3.1.1.1); -1 where the frame does not declare it."""
    if len(data) < 6:
        return -1
    descriptor = data[4]
    single_segment = bool(descriptor >> 5 & 1)
    width = {0: 1 if single_segment else 0, 1: 2, 2: 4, 3: 8}[descriptor >> 6]
    start = 5 + (0 if single_segment else 1) + (0, 1, 2, 4)[descriptor & 3]
    if not width or len(data) < start + width:
        return -1
    size = int.from_bytes(data[start : start + width], "little")
    return size + 256 if width == 2 else size


def _decode(data: bytes, name: str | None, out: NDArray[np.uint8]) -> int:
    """Fill ``out`` and give the bytes that the data decodes to."""
    if name is None:
        out[:] = np.frombuffer(data, np.uint8)
    elif name == "zlib":
        stream = zlib.decompressobj()
        decoded = stream.decompress(data, out.nbytes + 1)
        if not stream.eof and len(decoded) <= out.nbytes:
            raise ValueError("its end, with the checksum, is missing")
        if len(decoded) != out.nbytes:
            return len(decoded)
        out[:] = np.frombuffer(decoded, np.uint8)
    else:
        numcodecs.get_codec({"id": name}).decode(data, out=out)
    return out.nbytes

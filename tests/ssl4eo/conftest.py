"""Writes small stores of layout 1 by hand, so that a test can break any part of them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
from numpy.typing import NDArray

BLOSC = {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}
DIMENSIONS = {
    "band": ["band"],
    "bands": ["sample", "time", "band", "y", "x"],
    "center_lat": ["sample"],
    "center_lon": ["sample"],
    "crs": ["sample"],
    "file_id": ["sample", "time"],
    "sample": ["sample"],
    "sample_id": ["sample", "time"],
    "time_": ["sample", "time"],
    "x_": ["sample", "x"],
    "y_": ["sample", "y"],
}
PRODUCTS = [
    "S1B_IW_GRDH_1SDV_20200102T214646_20200102T214711_019639_025202_E04B",
    "S1A_IW_GRDH_1SDV_20200401T094701_20200401T094726_031930_03AF96_1D1C",
    "S1A_IW_GRDH_1SDV_20200706T214727_20200706T214752_033338_03DCD2_4A50",
    "S1B_IW_GRDH_1SDV_20201127T214646_20201127T214711_024435_02E76E_0A1B",
]
STARTS = ["2020-01-02T21:46:46", "2020-04-01T09:47:01", "2020-07-06T21:47:27", "2020-11-27T21:46:46"]


@pytest.fixture(scope="session")
def products() -> list[str]:
    """Four product ids in the order of their dates."""
    return list(PRODUCTS)


@pytest.fixture(scope="session")
def raw_arrays() -> Callable[..., dict[str, NDArray[Any]]]:
    """The arrays of a store of ``n`` places with dates in order."""

    def arrays(n: int = 2) -> dict[str, NDArray[Any]]:
        shape = (n, 4, 2, 264, 264)
        # Smooth, so that a store is small, but no two of its places, dates and bands are the same.
        ramp = (np.arange(264)[:, None] + np.arange(264)[None, :]) // 32 / 4
        offset = np.arange(n * 8).reshape(n, 4, 2) / 8
        pixels = np.arange(264) * 10.0
        return {
            "band": np.array(["vv", "vh"]),
            "bands": np.broadcast_to(-20 + offset[..., None, None] + ramp, shape).astype("<f2"),
            "center_lat": np.linspace(-30, 50, n),
            "center_lon": np.linspace(121.5, 122.5, n),
            "crs": np.full(n, 32651),
            "file_id": np.array([PRODUCTS] * n),
            "sample": np.array([f"{80717 + i:07d}" for i in range(n)]),
            "sample_id": np.array([[f"{80717 + i:07d}_{t}" for t in range(4)] for i in range(n)]),
            "time_": np.array([STARTS] * n, dtype="datetime64[ns]").astype(np.int64),
            "x_": 300_005.0 + 5000 * np.arange(n)[:, None] + pixels,
            "y_": 4_000_005.0 - 5000 * np.arange(n)[:, None] - pixels,
        }

    return arrays


@pytest.fixture(scope="session")
def raw_files(raw_arrays: Callable[..., dict[str, NDArray[Any]]]) -> Callable[..., dict[str, bytes]]:
    """The files of a store: name to bytes. ``changes`` replaces arrays by name; None leaves one out."""

    def files(
        n: int = 2,
        *,
        codec: Mapping[str, Any] | None = BLOSC,
        separator: str = ".",
        units: str = "nanoseconds since 1970-01-01",
        **changes: NDArray[Any] | None,
    ) -> dict[str, bytes]:
        written: dict[str, bytes] = {".zgroup": b'{"zarr_format": 2}', ".zattrs": b"{}"}
        for name in DIMENSIONS:
            if name not in changes:
                written |= unchanged(name, n, json.dumps(codec), separator, units)
            elif (array := changes[name]) is not None:
                written |= _array_files(name, array, codec, separator, units)
        return written

    @cache
    def unchanged(name: str, n: int, codec: str, separator: str, units: str) -> dict[str, bytes]:
        return _array_files(name, raw_arrays(n)[name], json.loads(codec), separator, units)

    return files


def _array_files(
    name: str, array: NDArray[Any], codec: Mapping[str, Any] | None, separator: str, units: str
) -> dict[str, bytes]:
    attributes = {"_ARRAY_DIMENSIONS": DIMENSIONS[name]} | ({"units": units} if name == "time_" else {})
    # As documented: the dates are chunked apart.
    chunks = (array.shape[0], 1, *array.shape[2:]) if name == "bands" else array.shape
    document = {
        "zarr_format": 2,
        "shape": array.shape,
        "chunks": chunks,
        "dtype": array.dtype.str,
        "order": "C",
        "compressor": codec,
        "filters": None,
        "fill_value": "NaN" if array.dtype.kind == "f" else None,
        "dimension_separator": separator,
    }
    files = {f"{name}/.zarray": json.dumps(document).encode(), f"{name}/.zattrs": json.dumps(attributes).encode()}
    encode = numcodecs.get_codec(codec).encode if codec else lambda chunk: chunk.tobytes()
    for position in np.ndindex(*(-(-size // chunk) for size, chunk in zip(array.shape, chunks, strict=True))):
        region = tuple(slice(i * chunk, (i + 1) * chunk) for i, chunk in zip(position, chunks, strict=True))
        files[f"{name}/{separator.join(map(str, position))}"] = bytes(encode(np.ascontiguousarray(array[region])))
    return files


@pytest.fixture(scope="session")
def write_store() -> Callable[[Path, Mapping[str, bytes]], Path]:
    """Write files as a zip or, where the path does not end in ``.zip``, as a folder."""

    def write(path: Path, files: Mapping[str, bytes]) -> Path:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path, "w") as bundle:
                for name, data in files.items():
                    bundle.writestr(zipfile.ZipInfo(name), data)
        else:
            for name, data in files.items():
                (path / name).parent.mkdir(parents=True, exist_ok=True)
                (path / name).write_bytes(data)
        return path

    return write

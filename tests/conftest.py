"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import xarray as xr
import zarr.storage
from distributed import LocalCluster
from numpy.typing import NDArray

from sarpipe.simulate import simulate
from sarpipe.simulate.place import SimulatedPlace, simulate_place

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real Sentinel-1 data; tests that need it are skipped where it is absent."""
    path = Path(os.environ.get("SARPIPE_REAL_DATA", ROOT.parent / "shared" / "data" / "sentinel1"))
    if not path.is_dir():
        pytest.skip("no real data: set SARPIPE_REAL_DATA to its folder")
    return path.resolve()


@pytest.fixture(scope="session")
def small_stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two simulated stores of five places each. Read only: a test that breaks one copies it first."""
    folder = tmp_path_factory.mktemp("small")
    simulate(folder, stores=2, places=5, seed=3)
    return folder


@pytest.fixture(scope="session")
def fewer_dates() -> Callable[[Path, Path, int], Path]:
    """Write a copy of a zipped store, unpacked, with the first so many of its dates."""

    def write(store: Path, path: Path, dates: int) -> Path:
        with zarr.storage.ZipStore(store, mode="r") as bundle, xr.open_zarr(bundle) as data:
            chosen = data.isel(time=slice(dates)).load()
        for variable in chosen.variables.values():
            variable.encoding = {}
        chosen.to_zarr(path, zarr_format=2, encoding={"bands": {"chunks": (len(chosen.sample), 1, 2, 264, 264)}})
        return path

    return write


@pytest.fixture(scope="session")
def simulated_places() -> list[SimulatedPlace]:
    """Five places, as they would be in a store."""
    return [simulate_place(3, 1, place) for place in range(5)]


@pytest.fixture(scope="session")
def write_place() -> Callable[..., bytes]:
    """The zip of a single place: of a WebDataset tar, or with ``neuco`` of NeuCo-Bench.

    ``changes`` replaces variables by name, each as dimensions and values; None leaves one out.
    """

    def write(place: SimulatedPlace, *, neuco: bool = False, **changes: tuple[list[str], Any] | None) -> bytes:
        axes = ["time", "band", "y", "x"]
        variables: dict[str, tuple[list[str], Any] | None] = {
            "band": (["band"], np.array(["vv", "vh"])),
            "bands": (["sample", *axes], place.db[None]) if neuco else (axes, place.db),
        }
        if not neuco:
            location = place.location
            variables |= {
                "center_lat": ([], np.float64(location.latitude)),
                "center_lon": ([], np.float64(location.longitude)),
                "crs": ([], np.int64(location.crs)),
                "file_id": (["time"], np.array(place.file_ids)),
                "sample": ([], np.array(place.id)),
                "spatial_ref": ([], np.int64(0)),
                "time": (["time"], np.asarray(place.times, "datetime64[ns]").astype(np.int64)),
                "x": (["x"], np.asarray(location.x)),
                "y": (["y"], np.asarray(location.y)),
            }
        written: dict[str, Any] = {".zgroup": {"zarr_format": 2}, ".zattrs": {}}
        chunks: dict[str, bytes] = {}
        for name, variable in (variables | changes).items():
            if variable is not None:
                _write_variable(written, chunks, name, variable[0], np.asarray(variable[1]))
        written[".zmetadata"] = {"metadata": dict(written), "zarr_consolidated_format": 1}
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as bundle:
            for name, document in written.items():
                bundle.writestr(zipfile.ZipInfo(name), json.dumps(document))
            for name, data in chunks.items():
                bundle.writestr(zipfile.ZipInfo(name), data)
        return buffer.getvalue()

    return write


def _write_variable(
    documents: dict[str, Any], chunks: dict[str, bytes], name: str, dimensions: Sequence[str], values: NDArray[Any]
) -> None:
    codec = {"id": "blosc", "cname": "zstd", "clevel": 1, "shuffle": 1, "blocksize": 0}
    # A date is a chunk.
    shape = [
        1 if axis == "time" and name == "bands" else size for axis, size in zip(dimensions, values.shape, strict=True)
    ]
    documents[f"{name}/.zattrs"] = {"_ARRAY_DIMENSIONS": list(dimensions)}
    documents[f"{name}/.zarray"] = {
        "zarr_format": 2,
        "shape": values.shape,
        "chunks": shape,
        "dtype": values.dtype.str,
        "order": "C",
        "compressor": codec,
        "filters": None,
        "fill_value": None,
    }
    encode = numcodecs.get_codec(codec).encode
    grid = [size // chunk for size, chunk in zip(values.shape, shape, strict=True)]
    for position in np.ndindex(*grid):
        region = tuple(slice(i * chunk, (i + 1) * chunk) for i, chunk in zip(position, shape, strict=True))
        key = ".".join(map(str, position)) or "0"
        chunks[f"{name}/{key}"] = bytes(encode(np.ascontiguousarray(values[region])))


@pytest.fixture(scope="session")
def write_tar() -> Callable[[Path, Mapping[str, bytes]], Path]:
    """Write files as WebDataset does: with a time of change that is no whole number, in an extended header."""

    def write(path: Path, files: Mapping[str, bytes]) -> Path:
        with tarfile.open(path, "w") as tar:
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size, info.mtime = len(data), 1739871234.567
                tar.addfile(info, io.BytesIO(data))
        return path

    return write


@pytest.fixture(scope="session")
def scheduler() -> Iterator[str]:
    """The address of a real Dask scheduler with one worker process, for tests that need not start their own."""
    with LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster:
        yield cluster.scheduler_address

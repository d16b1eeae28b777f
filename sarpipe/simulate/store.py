"""Writing a store in the layout of SSL4EO-S12 v1.1: Zarr v2 in a zip or a folder, the same bytes for the same seed."""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sarpipe.channels import N_DATES, PLACE_SIZE, POLARISATIONS
from sarpipe.errors import UsageError
from sarpipe.preprocess.truth import sealed
from sarpipe.simulate.place import MAX_PLACES, SimulatedPlace, simulate_place
from sarpipe.storage.durable import fsync_path, fsync_tree, storage_errors, write_bytes

_COMPRESSOR = {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


def simulate(
    folder: Path,
    *,
    stores: int = 4,
    places: int = 64,
    seed: int = 0,
    zipped: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write simulated stores, each with its truth beside it.

    A store is ``ssl4eos12_train_seasonal_data_000001.zarr.zip`` (or the folder ``.zarr``) and so on; its truth is
    ``<name>.truth.parquet`` with one row a place: ``id``; ``fraction_water``, ``fraction_forest``,
    ``fraction_crop``, ``fraction_grass``, ``fraction_built`` (of the pixels, sum 1); ``season_amplitude_db`` (half
    of the yearly highest minus lowest VH, mean over the pixels); ``texture_scale_px`` (distance at which the
    autocorrelation of the ground's texture has fallen to 1/e); ``field_size_px`` (root of the mean area of a
    field). All are of the whole place, nodata included.

    The same seed writes the same bytes; a store does not depend on how many are asked for, nor a place on how many
    its store holds. What was simulated there before is replaced.

    Args:
        folder: Where to; it is made if it does not exist.
        stores: How many, 1 or more.
        places: Places in each, 1 to 64.
        seed: 0 or more.
        zipped: Whether to write zip files and not folders.
        progress: Called after each place with places done and places in all.

    Returns:
        The paths of the stores, in the order of their names.

    Raises:
        UsageError: A number is out of its range, or a store of that name is there that was not simulated.
    """
    for name, value, low, high in (
        ("stores", stores, 1, 999_999 // MAX_PLACES),
        ("places", places, 1, MAX_PLACES),
        ("seed", seed, 0, 2**32 - 1),
    ):
        if not low <= value <= high:
            raise UsageError(f"{name} is {value}, needs {low} to {high}")
    for store in range(1, stores + 1):
        _check_own(*_paths(folder, store, zipped=zipped))
    paths = []
    for store in range(1, stores + 1):
        simulated = []
        for place in range(places):
            simulated.append(simulate_place(seed, store, place))
            if progress is not None:
                progress((store - 1) * places + place + 1, stores * places)
        paths.append(_write(folder, store, seed, simulated, zipped=zipped))
    return paths


def _paths(folder: Path, store: int, *, zipped: bool) -> tuple[Path, Path]:
    """Where a store goes, and its truth."""
    name = f"ssl4eos12_train_seasonal_data_{store:06d}"
    return folder / (f"{name}.zarr.zip" if zipped else f"{name}.zarr"), folder / f"{name}.truth.parquet"


def _check_own(path: Path, truth: Path) -> None:
    """A store that was fetched has the same name; one that was simulated has its truth beside it."""
    if path.exists() and not truth.exists():
        raise UsageError(f"{path} is there and was not simulated: it has no truth beside it", "Choose another folder")


def _write(folder: Path, store: int, seed: int, places: list[SimulatedPlace], *, zipped: bool) -> Path:
    path, truth = _paths(folder, store, zipped=zipped)
    files = _files(places, {"source": f"simulated by sarpipe, seed {seed}, store {store}"})
    # The truth first: a store that is there always has its truth.
    write_bytes(truth, _truth(places))
    if zipped:
        write_bytes(path, _zip(files))
    else:
        _put_folder(path, files)
    return path


def _files(places: list[SimulatedPlace], attributes: dict[str, Any]) -> dict[str, bytes]:
    """Every file of the store by its name, in the order of the names."""
    documents: dict[str, dict[str, Any]] = {".zgroup": {"zarr_format": 2}, ".zattrs": attributes}
    chunks: dict[str, bytes] = {}
    for name, (dimensions, values) in _variables(places).items():
        chunk_shape = (values.shape[0], 1, *values.shape[2:]) if name == "bands" else values.shape
        documents[f"{name}/.zarray"] = _array_document(values, chunk_shape)
        documents[f"{name}/.zattrs"] = {"_ARRAY_DIMENSIONS": dimensions}
        if name == "bands":
            # One chunk a date, so that a single date can be read.
            for t in range(N_DATES):
                chunks[f"bands/0.{t}.0.0.0"] = _compress(values[:, t])
        else:
            chunks[f"{name}/{'.'.join('0' * values.ndim)}"] = _compress(values)
    documents["time_/.zattrs"] |= {"units": "seconds since 1970-01-01 00:00:00", "calendar": "proleptic_gregorian"}
    consolidated = {"metadata": dict(sorted(documents.items())), "zarr_consolidated_format": 1}
    files = {name: json.dumps(document, indent=2).encode() for name, document in documents.items()}
    return dict(sorted((files | chunks | {".zmetadata": json.dumps(consolidated).encode()}).items()))


def _variables(places: list[SimulatedPlace]) -> dict[str, tuple[list[str], NDArray[Any]]]:
    locations = [place.location for place in places]
    steps = np.arange(PLACE_SIZE, dtype="<i8")
    seconds = np.stack([place.times for place in places]).astype("datetime64[s]").astype("<i8")
    sample_ids = [[f"{place.id}_{t}" for t in range(N_DATES)] for place in places]
    return {
        "band": (["band"], np.array(POLARISATIONS, "<U2")),
        "bands": (["sample", "time", "band", "y", "x"], np.stack([place.db for place in places]).astype("<f2")),
        "center_lat": (["sample"], np.array([location.latitude for location in locations], "<f8")),
        "center_lon": (["sample"], np.array([location.longitude for location in locations], "<f8")),
        "crs": (["sample"], np.array([location.crs for location in locations], "<i8")),
        "file_id": (["sample", "time"], np.array([place.file_ids for place in places], "<U67")),
        "sample": (["sample"], np.array([place.id for place in places], "<U7")),
        "sample_id": (["sample", "time"], np.array(sample_ids, "<U9")),
        "time": (["time"], np.arange(N_DATES, dtype="<i8")),
        "time_": (["sample", "time"], seconds),
        "x": (["x"], steps),
        "x_": (["sample", "x"], np.stack([location.x for location in locations]).astype("<f8")),
        "y": (["y"], steps),
        "y_": (["sample", "y"], np.stack([location.y for location in locations]).astype("<f8")),
    }


def _array_document(values: NDArray[Any], chunks: tuple[int, ...]) -> dict[str, Any]:
    return {
        "shape": list(values.shape),
        "chunks": list(chunks),
        "dtype": values.dtype.str,
        "fill_value": "NaN" if values.dtype.kind == "f" else None,
        "order": "C",
        "filters": None,
        "dimension_separator": ".",
        "compressor": _COMPRESSOR,
        "zarr_format": 2,
    }


def _compress(values: NDArray[Any]) -> bytes:
    """One chunk. Blosc with several threads lays its blocks in the order in which they finish, so that the bytes
    differ from run to run; away from the main thread numcodecs lets it use one.
    """
    with ThreadPoolExecutor(1) as single:
        codec = numcodecs.get_codec(_COMPRESSOR)
        return bytes(single.submit(codec.encode, np.ascontiguousarray(values)).result())


def _truth(places: list[SimulatedPlace]) -> bytes:
    columns: dict[str, list[Any]] = {"id": [place.id for place in places]}
    columns |= {name: [place.truth[name] for place in places] for name in places[0].truth}
    buffer = io.BytesIO()
    pq.write_table(sealed(pa.table(columns)), buffer)
    return buffer.getvalue()


def _zip(files: dict[str, bytes]) -> bytes:
    """A zip whose members are stored, as Zarr reads them, and carry one fixed date."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as bundle:
        for name, data in files.items():
            bundle.writestr(zipfile.ZipInfo(name, _ZIP_DATE), data)
    return buffer.getvalue()


def _put_folder(path: Path, files: dict[str, bytes]) -> None:
    """Put a folder in place by one rename. Names that begin with a dot are no stores to `find_stores`."""
    temporary, aside = path.with_name(f".tmp-{path.name}"), path.with_name(f".old-{path.name}")
    for left in (temporary, aside):
        shutil.rmtree(left, ignore_errors=True)
    with storage_errors(path):
        for name, data in files.items():
            target = temporary / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        fsync_tree(temporary)
        if path.exists():
            os.rename(path, aside)
        os.rename(temporary, path)
        fsync_path(path.parent)
    shutil.rmtree(aside, ignore_errors=True)

"""One store in memory: the type that every layout is read to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sarpipe.channels import N_DATES, PLACE_SIZE, POLARISATIONS
from sarpipe.errors import DataError
from sarpipe.ssl4eo.archive import Archive, open_archive
from sarpipe.ssl4eo.product import orbit_pass, parse_product
from sarpipe.ssl4eo.source import store_name
from sarpipe.ssl4eo.zarr2 import ArrayInfo, array_info, read_array

MAX_PLACES = 64
DIMENSIONS = ["sample", "time", "band", "y", "x"]
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_ORIGIN = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,9})?)?)?", re.ASCII)
_LAUNCH = np.datetime64("2014-04-03", "us")
"""Of Sentinel-1A: no date of a place is earlier."""
_LATEST = np.datetime64("2100-01-01", "us")
MAX_BANDS = 32
_UNIT_NS = {"nanoseconds": 1, "microseconds": 10**3, "milliseconds": 10**6, "seconds": 10**9}
_UNIT_NS |= {"minutes": 60 * 10**9, "hours": 3600 * 10**9, "days": 86400 * 10**9}


@dataclass(frozen=True)
class Store:
    """The n places of one store, with the dates of each place in order.

    Attributes:
        name: File name without ``.zarr.zip`` or ``.zarr``.
        ids: Place ids, unique.
        db: ``float16 [n, 4 dates, 2, 264, 264]``, backscatter in dB, VV then VH. As stored: pixels without data
            are NaN, infinite or below any backscatter (see `sarpipe.preprocess.mask`).
        products: ``[n][4]`` product ids (``file_id``), in the order of the dates.
        dates: ``datetime64[us] [n, 4]`` in UTC; NaT where neither the product id nor ``time_`` knows it.
        order: How the dates of each place were put in order: ``product`` (date in ``file_id``), ``time``
            (``time_``) or ``stored`` (neither is known: the stored order).
        orbit_passes: ``[n][4]`` ``ascending``, ``descending`` or ``unknown``.
        relative_orbits: ``[n][4]`` 1..175, 0 unknown.
        latitude, longitude: ``float64 [n]`` of the centre, degrees WGS84; NaN unknown.
        crs: ``int64 [n]`` EPSG; 0 unknown.
        bounds: ``float64 [n, 4]`` west, south, east, north in the unit of ``crs`` (metres in UTM), outer edges of the
            outer pixels; NaN unknown.
    """

    name: str
    ids: tuple[str, ...]
    db: NDArray[np.float16]
    products: list[list[str]]
    dates: NDArray[np.datetime64]
    order: tuple[str, ...]
    orbit_passes: list[list[str]]
    relative_orbits: list[list[int]]
    latitude: NDArray[np.float64]
    longitude: NDArray[np.float64]
    crs: NDArray[np.int64]
    bounds: NDArray[np.float64]


def read_store(path: Path, ledger: Path | None = None) -> Store:
    """Read a SSL4EO-S12 v1.1 chunk-Zarr store, zipped or unpacked.

    Everything that the schema fixes is checked before it is used. Bands are found by name. The dates of each
    place are put in order by the date inside ``file_id``, which is what the bands follow; ``time_`` is sorted
    by itself and may disagree (SSL4EO-S12-v1.1 issue 4).

    Args:
        path: A ``.zarr.zip`` file or a Zarr v2 folder.
        ledger: Where the checksums of unpacked stores are kept (`sarpipe.ssl4eo.archive.open_archive`).

    Raises:
        DataError: The store is damaged, incomplete, or not of this layout; the message says what and where.
    """
    archive = open_archive(path, ledger)
    bands = _band_positions(archive)
    info = _checked_bands(archive)
    n = info.shape[0]
    ids = _ids(archive, n)
    file_ids = _text(archive, "file_id", (n, N_DATES))
    times = _times(archive, n)
    orders, dates, how = zip(*(_date_order(file_ids[i], times[i]) for i in range(n)), strict=True)
    longitude = _optional(archive, "center_lon", (n,))
    products = [[str(file_ids[i, t]) for t in orders[i]] for i in range(n)]
    return Store(
        name=store_name(path),
        ids=ids,
        db=_in_order(read_array(archive, info), orders, bands),
        products=products,
        dates=np.stack(dates),
        order=how,
        orbit_passes=[[orbit_pass(date, longitude[i]) for date in dates[i]] for i in range(n)],
        relative_orbits=[[_relative_orbit(product) for product in row] for row in products],
        latitude=_optional(archive, "center_lat", (n,)),
        longitude=longitude,
        crs=np.nan_to_num(_optional(archive, "crs", (n,)), nan=0).astype(np.int64),
        bounds=_bounds(archive, n),
    )


def _band_positions(archive: Archive) -> list[int]:
    info = array_info(archive, "band")
    listed = info.dtype.kind == "U" and len(info.shape) == 1 and info.shape[0] <= MAX_BANDS
    names = [name.lower() for name in _text(archive, "band", info.shape).tolist()] if listed else []
    if sorted(names) != sorted(POLARISATIONS):
        raise DataError(
            f"{archive.path} has bands {names}, needs {list(POLARISATIONS)}",
            "Only dual-polarisation (VV and VH) S1GRD stores can be used",
        )
    return [names.index(name) for name in POLARISATIONS]


def _checked_bands(archive: Archive) -> ArrayInfo:
    info = array_info(archive, "bands")
    wanted = (N_DATES, len(POLARISATIONS), PLACE_SIZE, PLACE_SIZE)
    if info.shape[1:] != wanted or len(info.shape) != 5 or not 1 <= info.shape[0] <= MAX_PLACES:
        raise DataError(
            f"{archive.path}: bands has shape {list(info.shape)} (sample, time, band, y, x), "
            f"needs 1 to {MAX_PLACES} samples of {list(wanted)}",
            "Only stores of four dates with 264 x 264 pixels can be used",
        )
    if info.dtype != np.dtype("<f2"):
        raise DataError(f"{archive.path}: bands has dtype {info.dtype}, needs float16 (dB)")
    dimensions = info.attributes.get("_ARRAY_DIMENSIONS", DIMENSIONS)
    if dimensions != DIMENSIONS:
        raise DataError(f"{archive.path}: bands has dimensions {dimensions!r}, needs {DIMENSIONS}")
    return info


def _ids(archive: Archive, n: int) -> tuple[str, ...]:
    ids = tuple(_text(archive, "sample", (n,)).tolist())
    bad = [value for value in ids if not _ID.fullmatch(value)]
    if bad or len(set(ids)) != n:
        what = (
            f"{bad[0]!r} is not a name of letters, digits, '.', '_' and '-' that begins with one of the first two"
            if bad
            else "some stand twice"
        )
        raise DataError(f"{archive.path}: place ids cannot be used: {what}")
    return ids


def _text(archive: Archive, name: str, shape: tuple[int, ...]) -> NDArray[np.str_]:
    info = _shaped(archive, name, shape)
    if info.dtype.kind != "U":
        raise DataError(f"{archive.path}: {name} has dtype {info.dtype}, needs text")
    text = read_array(archive, info)
    # Compared as code points: four bytes of a damaged file need not be a character.
    code_points = np.ascontiguousarray(text).view(f"{info.dtype.str[0]}u4")
    if ((code_points != 0) & ((code_points < 32) | (code_points > 126))).any():
        raise DataError(f"{archive.path}: {name} holds text that is not printable ASCII", "Fetch the store again")
    return text


def _optional(archive: Archive, name: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """A number that may be unknown: NaN where the store does not hold it."""
    if f"{name}/.zarray" not in archive:
        return np.full(shape, np.nan)
    info = _shaped(archive, name, shape)
    if info.dtype.kind == "U":
        raise DataError(f"{archive.path}: {name} has dtype {info.dtype}, needs numbers")
    values = read_array(archive, info, empty_is_fill=True).astype(np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def _shaped(archive: Archive, name: str, shape: tuple[int, ...]) -> ArrayInfo:
    info = array_info(archive, name)
    if info.shape != shape:
        raise DataError(f"{archive.path}: {name} has shape {list(info.shape)}, needs {list(shape)}")
    return info


def _times(archive: Archive, n: int) -> NDArray[np.datetime64]:
    """``time_`` as ``datetime64[us] [n, 4]``; NaT where it is missing or cannot be a date."""
    unknown = np.full((n, N_DATES), np.datetime64("NaT"), dtype="datetime64[us]")
    if "time_/.zarray" not in archive:
        return unknown
    info = _shaped(archive, "time_", (n, N_DATES))
    unit, _, origin = str(info.attributes.get("units", "nanoseconds since 1970-01-01")).partition(" since ")
    if unit not in _UNIT_NS or info.dtype.kind not in "if":
        raise DataError(f"{archive.path}: time_ has units {unit!r} and dtype {info.dtype}, needs a CF time")
    raw = read_array(archive, info, empty_is_fill=True).astype(np.float64)
    start = _origin(origin)
    if start is None:
        raise DataError(f"{archive.path}: time_ counts from {origin!r}, which is no date")
    # What cannot be a date of Sentinel-1 is a filler or is corrupt. Bounded first, as a float of any size is no offset.
    offset_us = raw * (_UNIT_NS[unit] / 1000)
    bounded = np.abs(offset_us) < 200 * 365.25 * 86400e6
    dates = start + np.rint(np.where(bounded, offset_us, 0)).astype("timedelta64[us]")
    return np.where(bounded & (dates >= _LAUNCH) & (dates < _LATEST), dates, unknown)


def _origin(text: str) -> np.datetime64 | None:
    text = text.strip()
    try:
        return np.datetime64(text.replace(" ", "T"), "us") if _ORIGIN.fullmatch(text) else None
    except ValueError:
        return None


def _date_order(
    file_ids: NDArray[np.str_], times: NDArray[np.datetime64]
) -> tuple[list[int], NDArray[np.datetime64], str]:
    products = [parse_product(str(value)) for value in file_ids]
    starts = np.array([p.start if p else np.datetime64("NaT", "us") for p in products], dtype="datetime64[us]")
    for dates, how in ((starts, "product"), (times, "time")):
        if not np.isnat(dates).any():
            order = np.argsort(dates, kind="stable")
            return order.tolist(), dates[order], how
    return list(range(N_DATES)), np.where(np.isnat(starts), times, starts), "stored"


def _in_order(stored: NDArray[np.float16], orders: tuple[list[int], ...], bands: list[int]) -> NDArray[np.float16]:
    if bands != [0, 1]:
        stored = stored[:, :, bands]
    for i, order in enumerate(orders):
        if order != sorted(order):
            stored[i] = stored[i, order]
    return stored


def _relative_orbit(file_id: str) -> int:
    product = parse_product(file_id)
    return product.relative_orbit if product else 0


def _bounds(archive: Archive, n: int) -> NDArray[np.float64]:
    x = _optional(archive, "x_", (n, PLACE_SIZE))
    y = _optional(archive, "y_", (n, PLACE_SIZE))
    west, south, east, north = x.min(1), y.min(1), x.max(1), y.max(1)
    half_x, half_y = (east - west) / (2 * (PLACE_SIZE - 1)), (north - south) / (2 * (PLACE_SIZE - 1))
    return np.stack([west - half_x, south - half_y, east + half_x, north + half_y], axis=1)

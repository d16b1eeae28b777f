"""One store in memory: the type that every layout is read to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sarpipe.channels import CUBE_SIZE, N_DATES, PIXEL_SPACING_M, PLACE_SIZE, POLARISATIONS
from sarpipe.codes import Code
from sarpipe.errors import DataError
from sarpipe.ssl4eo.archive import open_archive
from sarpipe.ssl4eo.name import store_name
from sarpipe.ssl4eo.product import orbit_pass, parse_product
from sarpipe.ssl4eo.zarr2 import ArrayInfo, Files, array_info, read_array

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
    """Some places of one store, with the T dates of each place in order; T is 1 to 4, the same for all.

    Attributes:
        name: File name without ``.zarr.zip``, ``.zarr`` or ``.tar``, or the name of the group of files.
        ids: Place ids, unique.
        stored: ``float16 [n, T, 2, 264, 264]``, backscatter in dB, dates and bands as they are stored; the memory lies
            date by date. Pixels without data are NaN, infinite or below any backscatter
            (see `sarpipe.preprocess.mask`).
        positions: ``intp [n, T]``: where in ``stored`` each date of a place lies, in the order of the dates.
        bands: Where in ``stored`` VV and VH lie.
        products: ``[n][T]`` product ids (``file_id``), in the order of the dates; empty where the store has none.
        dates: ``datetime64[us] [n, T]`` in UTC; NaT where neither the product id nor the time is known.
        order: How the dates of each place were put in order: ``product`` (date in ``file_id``), ``time``
            (``time_``, or ``time`` of a single place) or ``stored`` (neither is known: the stored order).
        orbit_passes: ``[n][T]`` ``ascending``, ``descending`` or ``unknown``.
        relative_orbits: ``[n][T]`` 1..175, 0 unknown.
        latitude, longitude: ``float64 [n]`` of the centre, degrees WGS84; NaN unknown.
        crs: ``int64 [n]`` EPSG; 0 unknown.
        bounds: ``float64 [n, 4]`` west, south, east, north in the unit of ``crs`` (metres in UTM), outer edges of the
            outer pixels; NaN unknown.
    """

    name: str
    ids: tuple[str, ...]
    stored: NDArray[np.float16]
    positions: NDArray[np.intp]
    bands: tuple[int, int]
    products: list[list[str]]
    dates: NDArray[np.datetime64]
    order: tuple[str, ...]
    orbit_passes: list[list[str]]
    relative_orbits: list[list[int]]
    latitude: NDArray[np.float64]
    longitude: NDArray[np.float64]
    crs: NDArray[np.int64]
    bounds: NDArray[np.float64]

    def place(self, i: int) -> NDArray[np.float16]:
        """One place, ``[T, 2, 264, 264]``, dates in order, VV then VH: a view where they are stored so."""
        place: NDArray[np.float16] = self.stored[i]
        order = self.positions[i]
        if self.bands == (0, 1) and (order == np.arange(len(order))).all():
            return place
        ordered: NDArray[np.float16] = place[np.ix_(order, self.bands)]
        return ordered

    @property
    def db(self) -> NDArray[np.float16]:
        """All places, ``[n, T, 2, 264, 264]``, as `place` gives them; always a copy."""
        return np.stack([self.place(i) for i in range(len(self.ids))])


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
    info = _checked_bands(archive, places=MAX_PLACES)
    n, dates = info.shape[:2]
    return _read(
        archive,
        store_name(path),
        _ids(archive, n),
        info,
        bands,
        _text(archive, "file_id", (n, dates)),
        _times(archive, "time_", (n, dates)),
        single=False,
    )


def read_place(archive: Files, store: str, key: str, *, named_by_file: bool) -> Store:
    """Read a file that holds a single place, with or without an axis for it.

    As `read_store`, but everything besides ``bands`` and ``band`` may be missing: then it is not known.

    Args:
        archive: The files of the place.
        store: What it belongs to: `Store.name`.
        key: Its file's name without the suffix.
        named_by_file: Whether the place's id is the key (NeuCo-Bench scores by it), or ``sample`` where there is one.

    Raises:
        DataError: It is damaged, or holds something else.
    """
    bands = _band_positions(archive)
    info = _checked_bands(archive, places=1)
    shape = (1, info.shape[-4])
    file_ids = np.full(shape, "", np.str_)
    if "file_id/.zarray" in archive:
        file_ids = _text(archive, "file_id", shape, single=True)
    times = _times(archive, "time_" if "time_/.zarray" in archive else "time", shape, single=True)
    ids = _checked_ids(archive, (key if named_by_file else _sample(archive, key),))
    return _read(archive, store, ids, info, bands, file_ids, times, single=True)


def is_single_place(archive: Files) -> bool:
    """Whether a file holds a single place in the layout of NeuCo-Bench, and is not a store of one place.

    It has no axis of samples; or one of length 1, and lacks ``sample`` or ``file_id``, which every store has.

    Raises:
        DataError: Its metadata cannot be read.
    """
    shape = array_info(archive, "bands").shape
    named = all(f"{name}/.zarray" in archive for name in ("sample", "file_id"))
    return len(shape) == len(DIMENSIONS) - 1 or (len(shape) == len(DIMENSIONS) and shape[0] == 1 and not named)


def _read(
    archive: Files,
    name: str,
    ids: tuple[str, ...],
    info: ArrayInfo,
    bands: tuple[int, int],
    file_ids: NDArray[np.str_],
    times: NDArray[np.datetime64],
    *,
    single: bool,
) -> Store:
    n = len(ids)
    orders, dates, how = zip(*(_date_order(file_ids[i], times[i]) for i in range(n)), strict=True)
    longitude = _optional(archive, "center_lon", (n,), single=single)
    products = [[str(file_ids[i, t]) for t in orders[i]] for i in range(n)]
    return Store(
        name=name,
        ids=ids,
        stored=_read_bands(archive, info, n),
        positions=np.array(orders, np.intp),
        bands=bands,
        products=products,
        dates=np.stack(dates),
        order=how,
        orbit_passes=[[orbit_pass(date, longitude[i]) for date in dates[i]] for i in range(n)],
        relative_orbits=[[_relative_orbit(product) for product in row] for row in products],
        latitude=_optional(archive, "center_lat", (n,), single=single),
        longitude=longitude,
        crs=np.nan_to_num(_optional(archive, "crs", (n,), single=single), nan=0).astype(np.int64),
        bounds=_bounds(archive, n, single=single),
    )


def _read_bands(archive: Files, info: ArrayInfo, n: int) -> NDArray[np.float16]:
    """``[n, T, 2, 264, 264]`` that lies in memory date by date, as chunks do: each is decoded to where it belongs."""
    by_date = np.empty((info.shape[-4], n, *info.shape[-3:]), info.dtype)
    bands = by_date.swapaxes(0, 1)
    read_array(archive, info, out=bands.reshape(info.shape) if n == 1 else bands)
    return bands


def _band_positions(archive: Files) -> tuple[int, int]:
    if "band/.zarray" not in archive and "bands/.zarray" in archive:
        raise DataError(
            f"{archive.path} does not name its bands: it has no variable 'band'",
            "Which of the two is VV cannot be told for certain: add the variable",
            code=Code.SCHEMA,
        )
    info = array_info(archive, "band")
    listed = info.dtype.kind == "U" and len(info.shape) == 1 and info.shape[0] <= MAX_BANDS
    names = [name.lower() for name in _text(archive, "band", info.shape).tolist()] if listed else []
    if sorted(names) != sorted(POLARISATIONS):
        raise DataError(
            f"{archive.path} has bands {names}, needs {list(POLARISATIONS)}",
            "Only dual-polarisation (VV and VH) S1GRD stores can be used",
            code=Code.SCHEMA,
        )
    vv, vh = (names.index(name) for name in POLARISATIONS)
    return vv, vh


def _checked_bands(archive: Files, *, places: int) -> ArrayInfo:
    """``bands``, with an axis of 1 to ``places`` samples; a single place may do without."""
    info = array_info(archive, "bands")
    axes = DIMENSIONS[-len(info.shape) :] if len(info.shape) == 4 and places == 1 else DIMENSIONS
    reason, hint = _wrong_shape(info.shape, axes, places)
    if reason:
        raise DataError(
            f"{archive.path}: bands has shape {list(info.shape)} ({', '.join(axes)}): {reason}", hint, code=Code.SCHEMA
        )
    if info.dtype != np.dtype("<f2"):
        raise DataError(f"{archive.path}: bands has dtype {info.dtype}, needs float16 (dB)", code=Code.SCHEMA)
    dimensions = info.attributes.get("_ARRAY_DIMENSIONS", axes)
    # What a single place calls an axis of length 1 does not matter.
    if dimensions != axes and not (places == 1 and isinstance(dimensions, list) and dimensions[1:] == axes[1:]):
        raise DataError(f"{archive.path}: bands has dimensions {dimensions!r}, needs {axes}", code=Code.SCHEMA)
    return info


def _wrong_shape(shape: tuple[int, ...], axes: list[str], places: int) -> tuple[str, str]:
    """What is wrong with the shape of ``bands`` and what can be used instead; empty if nothing is."""
    if len(shape) != len(axes):
        return f"it has {len(shape)} axes, needs {len(axes)}", "Is it a SSL4EO-S12 v1.1 S1GRD store?"
    *samples, dates, bands, height, width = shape
    if samples and not 1 <= samples[0] <= places:
        return f"it holds {samples[0]} samples, needs 1{f' to {places}' if places > 1 else ''}", "Fetch the store again"
    if dates > N_DATES:
        return f"it has {dates} dates, at most {N_DATES} can be used", f"Choose {N_DATES} of them, one a season"
    if bands != len(POLARISATIONS):
        return f"it has {bands} bands, needs {len(POLARISATIONS)}", "Fetch the store again"
    if (height, width) != (PLACE_SIZE, PLACE_SIZE):
        metres = PLACE_SIZE * PIXEL_SPACING_M / CUBE_SIZE
        return (
            f"it has {height} x {width} pixels, needs {PLACE_SIZE} x {PLACE_SIZE}: a pixel of a cube is {metres:g} m, "
            f"and with another size it would be another",
            f"Only places of {PLACE_SIZE} x {PLACE_SIZE} pixels of {PIXEL_SPACING_M:g} m can be used",
        )
    return "", ""


def _ids(archive: Files, n: int) -> tuple[str, ...]:
    return _checked_ids(archive, tuple(_text(archive, "sample", (n,)).tolist()))


def _sample(archive: Files, key: str) -> str:
    """The id that a single place gives itself, as text or as a number; else its key."""
    if "sample/.zarray" not in archive:
        return key
    info = _shaped(archive, "sample", (1,), single=True)
    if info.dtype.kind == "U":
        return str(_text(archive, "sample", (1,), single=True)[0])
    if info.dtype.kind not in "iu":
        raise DataError(
            f"{archive.path}: sample has dtype {info.dtype}, needs text or a whole number", code=Code.SCHEMA
        )
    return str(int(read_array(archive, info).reshape(1)[0]))


def _checked_ids(archive: Files, ids: tuple[str, ...]) -> tuple[str, ...]:
    bad = [value for value in ids if not is_place_id(value)]
    if bad or len(set(ids)) != len(ids):
        what = (
            f"{bad[0]!r} is not a name of letters, digits, '.', '_' and '-' that begins with one of the first two"
            if bad
            else "some stand twice"
        )
        raise DataError(
            f"{archive.path}: place ids cannot be used: {what}", code=Code.BAD_ID if bad else Code.DUPLICATE_ID
        )
    return ids


def is_place_id(text: str) -> bool:
    """Whether a text can name a place: letters, digits, ``.``, ``_`` and ``-``, the first a letter or digit."""
    return _ID.fullmatch(text) is not None


def _text(archive: Files, name: str, shape: tuple[int, ...], *, single: bool = False) -> NDArray[np.str_]:
    info = _shaped(archive, name, shape, single=single)
    if info.dtype.kind != "U":
        raise DataError(f"{archive.path}: {name} has dtype {info.dtype}, needs text", code=Code.SCHEMA)
    text = read_array(archive, info).reshape(shape)
    # Compared as code points: four bytes of a damaged file need not be a character.
    code_points = np.ascontiguousarray(text).view(f"{info.dtype.str[0]}u4")
    if ((code_points != 0) & ((code_points < 32) | (code_points > 126))).any():
        raise DataError(
            f"{archive.path}: {name} holds text that is not printable ASCII", "Fetch the store again", code=Code.SCHEMA
        )
    return text


def _optional(archive: Files, name: str, shape: tuple[int, ...], *, single: bool = False) -> NDArray[np.float64]:
    """A number that may be unknown: NaN where the store does not hold it."""
    if f"{name}/.zarray" not in archive:
        return np.full(shape, np.nan)
    info = _shaped(archive, name, shape, single=single)
    if info.dtype.kind == "U":
        raise DataError(f"{archive.path}: {name} has dtype {info.dtype}, needs numbers", code=Code.SCHEMA)
    values = read_array(archive, info, empty_is_fill=True).reshape(shape).astype(np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def _shaped(archive: Files, name: str, shape: tuple[int, ...], *, single: bool = False) -> ArrayInfo:
    """The metadata of a variable of this shape; of a single place it may lack the axis of the place."""
    info = array_info(archive, name)
    if info.shape != shape and not (single and info.shape == shape[1:]):
        raise DataError(f"{archive.path}: {name} has shape {list(info.shape)}, needs {list(shape)}", code=Code.SCHEMA)
    return info


def _times(archive: Files, name: str, shape: tuple[int, int], *, single: bool = False) -> NDArray[np.datetime64]:
    """Times as ``datetime64[us]`` of this shape; NaT where they are missing or cannot be a date."""
    unknown = np.full(shape, np.datetime64("NaT"), dtype="datetime64[us]")
    if f"{name}/.zarray" not in archive:
        return unknown
    info = _shaped(archive, name, shape, single=single)
    unit, _, origin = str(info.attributes.get("units", "nanoseconds since 1970-01-01")).partition(" since ")
    if unit not in _UNIT_NS or info.dtype.kind not in "if":
        raise DataError(
            f"{archive.path}: {name} has units {unit!r} and dtype {info.dtype}, needs a CF time", code=Code.SCHEMA
        )
    raw = read_array(archive, info, empty_is_fill=True).reshape(shape).astype(np.float64)
    start = _origin(origin)
    if start is None:
        raise DataError(f"{archive.path}: {name} counts from {origin!r}, which is no date", code=Code.SCHEMA)
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
    return list(range(len(times))), np.where(np.isnat(starts), times, starts), "stored"


def _relative_orbit(file_id: str) -> int:
    product = parse_product(file_id)
    return product.relative_orbit if product else 0


def _bounds(archive: Files, n: int, *, single: bool) -> NDArray[np.float64]:
    """Outer edges, from the centres of the pixels in metres.

    A single place may have them in ``x`` and ``y``. In a store these only count the pixels, and so they may here: what
    does not lie `PIXEL_SPACING_M` apart is no coordinate.
    """
    x, y = (_centres(archive, axis, n, single=single) for axis in ("x", "y"))
    west, south, east, north = x.min(1), y.min(1), x.max(1), y.max(1)
    half_x, half_y = (east - west) / (2 * (PLACE_SIZE - 1)), (north - south) / (2 * (PLACE_SIZE - 1))
    return np.stack([west - half_x, south - half_y, east + half_x, north + half_y], axis=1)


def _centres(archive: Files, axis: str, n: int, *, single: bool) -> NDArray[np.float64]:
    shape = (n, PLACE_SIZE)
    if not single or f"{axis}_/.zarray" in archive:
        return _optional(archive, f"{axis}_", shape, single=single)
    centres = _optional(archive, axis, shape, single=True)
    apart = np.allclose(np.abs(np.diff(centres)), PIXEL_SPACING_M, rtol=1e-3)
    return centres if apart else np.full(shape, np.nan)

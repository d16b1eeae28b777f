from __future__ import annotations

import json
import pickle
import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import zarr
import zarr.storage
from numpy.typing import NDArray

from sarpipe.errors import DataError
from sarpipe.ssl4eo import Store, read_store

Arrays = Callable[..., dict[str, NDArray[Any]]]
Files = Callable[..., dict[str, bytes]]
Write = Callable[[Path, Mapping[str, bytes]], Path]
CODECS: list[dict[str, Any] | None] = [
    {"id": "blosc", "cname": "zstd", "clevel": 1, "shuffle": 2, "blocksize": 0},
    {"id": "zlib", "level": 1},
    {"id": "zstd", "level": 1},
    {"id": "lz4", "acceleration": 1},
    None,
]


def assert_same(one: Store, other: Store) -> None:
    """What is read is the same, however it was stored."""
    for name in ("db", *(field.name for field in fields(Store) if field.name not in ("stored", "positions", "bands"))):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.fixture
def read(tmp_path: Path, write_store: Write) -> Callable[[Mapping[str, bytes]], Store]:
    """Write files as a zip and read the store."""

    def read_files(files: Mapping[str, bytes]) -> Store:
        return read_store(write_store(tmp_path / "s.zarr.zip", files))

    return read_files


@pytest.fixture
def refuse(tmp_path: Path, write_store: Write) -> Callable[[Mapping[str, bytes]], str]:
    """Write files as a zip and as a folder, and give the message with which both are refused."""

    def refuse_files(files: Mapping[str, bytes]) -> str:
        messages = []
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        for name in ("s.zarr.zip", "s.zarr"):
            path = write_store(folder / name, files)
            with pytest.raises(DataError) as caught:
                read_store(path)
            text = str(caught.value)
            assert str(path) in text
            assert "\n" not in text
            assert "Traceback" not in text
            assert len(text) < 1500
            messages.append(text.replace(str(path), "PATH"))
        assert messages[0] == messages[1]
        return messages[0]

    return refuse_files


def edited(files: dict[str, bytes], name: str, **entries: Any) -> dict[str, bytes]:
    """The files with entries of one array's ``.zarray`` replaced."""
    document = json.loads(files[f"{name}/.zarray"])
    return {**files, f"{name}/.zarray": json.dumps({**document, **entries}).encode()}


def test_a_store_is_read_as_it_was_written(
    read: Callable[..., Store], raw_files: Files, raw_arrays: Arrays, products: list[str]
) -> None:
    raw = raw_arrays(3)
    store = read(raw_files(3))

    assert store.name == "s"
    assert store.ids == ("0080717", "0080718", "0080719")
    assert store.db.shape == (3, 4, 2, 264, 264)
    assert store.db.dtype == np.float16
    np.testing.assert_array_equal(store.db, raw["bands"])
    assert store.products == [products] * 3
    assert store.dates.dtype == np.dtype("datetime64[us]")
    np.testing.assert_array_equal(store.dates, raw["time_"].view("datetime64[ns]"))
    assert store.order == ("product",) * 3
    assert store.orbit_passes == [["descending", "ascending", "descending", "descending"]] * 3
    assert all(1 <= orbit <= 175 for row in store.relative_orbits for orbit in row)
    np.testing.assert_array_equal(store.latitude, raw["center_lat"])
    np.testing.assert_array_equal(store.longitude, raw["center_lon"])
    assert store.crs.tolist() == [32651] * 3
    # 264 pixels of 10 m, from outer edge to outer edge.
    np.testing.assert_array_equal(store.bounds[1], [305_000, 3_992_370, 307_640, 3_995_010])


@pytest.mark.parametrize("suffix", [".zarr.zip", ".zarr"])
@pytest.mark.parametrize("codec", CODECS, ids=str)
def test_a_zip_and_a_folder_of_any_codec_and_separator_are_one_store(
    tmp_path: Path, raw_files: Files, write_store: Write, suffix: str, codec: dict[str, Any] | None
) -> None:
    usual = read_store(write_store(tmp_path / "usual" / "s.zarr", raw_files()))

    assert_same(read_store(write_store(tmp_path / f"s{suffix}", raw_files(codec=codec, separator="/"))), usual)


def test_xarray_reads_what_the_tests_write(
    tmp_path: Path, raw_files: Files, raw_arrays: Arrays, write_store: Write
) -> None:
    path = write_store(tmp_path / "s.zarr.zip", raw_files())
    with zarr.storage.ZipStore(path, mode="r") as bundle, xr.open_zarr(bundle, consolidated=False) as data:
        np.testing.assert_array_equal(data.bands.values, raw_arrays()["bands"])
        np.testing.assert_array_equal(data.time_.values, raw_arrays()["time_"].view("datetime64[ns]"))
        assert data.file_id.dtype == np.dtype("<U67")


@pytest.mark.parametrize("sample_chunk", [1, 2])
def test_what_xarray_writes_is_read(tmp_path: Path, raw_arrays: Arrays, sample_chunk: int) -> None:
    raw = raw_arrays(2)
    dims = {name: ("sample", "time")[: array.ndim] for name, array in raw.items()}
    dims |= {"band": ("band",), "bands": ("sample", "time", "band", "y", "x")}
    dims |= {"x_": ("sample", "x"), "y_": ("sample", "y")}
    raw["time_"] = raw["time_"].view("datetime64[ns]")
    variables = {name: (dims[name], array) for name, array in raw.items()}
    data = xr.Dataset(variables, coords={"time": np.arange(4), "x": np.arange(264), "y": np.arange(264)})
    encoding = {"bands": {"chunks": (sample_chunk, 1, 2, 264, 264)}, "time_": {"chunks": (1, 1)}}
    data.to_zarr(tmp_path / "s.zarr", zarr_format=2, encoding=encoding)

    store = read_store(tmp_path / "s.zarr", tmp_path / "sources")
    np.testing.assert_array_equal(store.db, raw["bands"])
    np.testing.assert_array_equal(store.dates, raw["time_"])
    np.testing.assert_array_equal(store.latitude, raw["center_lat"])
    assert store.ids == tuple(raw["sample"])
    assert store.crs.tolist() == [32651] * 2


def test_six_real_places(real_data: Path) -> None:
    store = read_store(next((real_data / "S1GRD").glob("*900001.zarr.zip")))
    catalogue = pd.read_csv(real_data / "catalogue.csv", dtype={"sample": str})
    rows = catalogue[catalogue.file == "S1GRD"]

    assert store.ids == tuple(rows["sample"])
    assert store.db.shape == (6, 4, 2, 264, 264)
    for band, column in enumerate(("vv_median", "vh_median")):
        medians = np.median(store.db[:, :, band].astype(np.float32), axis=(1, 2, 3))
        np.testing.assert_allclose(medians, rows[column], atol=0.15)
    np.testing.assert_array_equal(store.latitude, rows.lat)
    np.testing.assert_array_equal(store.longitude, rows.lon)
    # Months of an unknown year, no georeferencing: all of it legal, and nothing made up.
    assert np.isnat(store.dates).all()
    assert store.order == ("stored",) * 6
    assert store.crs.tolist() == [0] * 6
    assert np.isnan(store.bounds).all()
    assert {name for row in store.orbit_passes for name in row} == {"unknown"}
    assert {orbit for row in store.relative_orbits for orbit in row} == {0}


def test_bands_are_found_by_name(read: Callable[..., Store], raw_files: Files, raw_arrays: Arrays) -> None:
    raw = raw_arrays()
    swapped = {"band": np.array(["vh", "vv"]), "bands": np.ascontiguousarray(raw["bands"][:, :, ::-1])}

    assert_same(read(raw_files(**swapped)), read(raw_files()))
    assert_same(read(raw_files(band=np.array(["VV", "VH"]))), read(raw_files()))


@pytest.mark.parametrize("bands", [["vv"], ["vv", "vv"], ["hh", "hv"], ["vv", "vh", "x"], ["B01"] * 13])
def test_other_bands_are_named(refuse: Callable[..., str], raw_files: Files, bands: list[str]) -> None:
    said = refuse(raw_files(band=np.array(bands)))

    assert str([name.lower() for name in bands]) in said
    assert "['vv', 'vh']" in said


def test_bands_that_are_numbers_are_refused(refuse: Callable[..., str], raw_files: Files) -> None:
    assert "has bands []" in refuse(raw_files(band=np.arange(2)))


@pytest.mark.parametrize("permutation", [[1, 0, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]])
def test_dates_follow_the_products_and_not_time(
    read: Callable[..., Store],
    raw_files: Files,
    raw_arrays: Arrays,
    products: list[str],
    permutation: list[int],
) -> None:
    # Issue 4 of the data set: what is stored follows file_id, while time_ is sorted by itself.
    raw = raw_arrays()
    stored, ids = raw["bands"].copy(), raw["file_id"].copy()
    stored[1], ids[1] = stored[1, permutation], ids[1, permutation]

    assert_same(read(raw_files(bands=stored, file_id=ids)), read(raw_files()))


def test_dates_follow_time_where_the_products_are_not_known(
    read: Callable[..., Store], raw_files: Files, raw_arrays: Arrays
) -> None:
    raw = raw_arrays()
    ids = np.array([["a", "b", "c", "d"]] * 2)
    store = read(raw_files(file_id=ids[:, ::-1], time_=raw["time_"][:, ::-1], bands=raw["bands"][:, ::-1]))

    assert store.order == ("time", "time")
    assert store.products == ids.tolist()
    np.testing.assert_array_equal(store.db, raw["bands"])
    np.testing.assert_array_equal(store.dates, raw["time_"].view("datetime64[ns]"))
    assert store.relative_orbits == [[0] * 4] * 2


@pytest.mark.parametrize("filler", [np.iinfo(np.int64).min, -(10**17), 0, 10**18 * 9])
def test_dates_that_cannot_be_are_not_known(
    read: Callable[..., Store], raw_files: Files, raw_arrays: Arrays, products: list[str], filler: int
) -> None:
    raw = raw_arrays()
    raw["time_"][0, 2] = raw["time_"][1] = filler
    raw["file_id"][:, 2] = "not known"
    store = read(raw_files(time_=raw["time_"], file_id=raw["file_id"]))

    # What is known is kept in its place; the order is the stored one.
    assert store.order == ("stored", "stored")
    assert np.isnat(store.dates).tolist() == [[False, False, True, False]] * 2
    assert store.orbit_passes[0][2] == "unknown"
    np.testing.assert_array_equal(store.db, raw["bands"])


@pytest.mark.parametrize(
    ("units", "in_us", "dtype"),
    [
        ("seconds since 2020-01-01", 10**6, "<i8"),
        ("seconds since 2020-01-01 00:00:00", 10**6, ">i8"),
        ("hours since 2020-01-01T00:00:00.000000000", 3600 * 10**6, "<f8"),
        ("days since 2020-01-01 00:00", 86400 * 10**6, "<f8"),
        ("microseconds since 2020-01-01", 1, "<i8"),
    ],
)
def test_units_of_time(read: Callable[..., Store], raw_files: Files, units: str, in_us: int, dtype: str) -> None:
    offsets = np.array([[0, 86400, 2 * 86400, 300 * 86400]] * 2) * 10**6
    time = (offsets / in_us).astype(dtype)
    store = read(raw_files(time_=time, units=units, file_id=np.full((2, 4), "not known")))

    np.testing.assert_array_equal(store.dates, np.datetime64("2020-01-01") + offsets.astype("timedelta64[us]"))


def test_parts_of_seconds_are_rounded_and_not_cut(read: Callable[..., Store], raw_files: Files) -> None:
    hundredths = np.array([[1, 7, 14, 29], [57, 58, 113, 114]])
    hours = hundredths / 100 / 3600
    store = read(raw_files(time_=hours, units="hours since 2020-01-01", file_id=np.full((2, 4), "-")))

    np.testing.assert_array_equal(store.dates, np.datetime64("2020-01-01") + hundredths * np.timedelta64(10_000, "us"))


@pytest.mark.parametrize("units", ["days since now", "days since 2020-13-01", "months since 2020-01-01", "days", ""])
def test_units_of_time_that_are_none(refuse: Callable[..., str], raw_files: Files, units: str) -> None:
    assert "time_" in refuse(raw_files(units=units))


def test_what_may_be_unknown_may_be_missing(read: Callable[..., Store], raw_files: Files) -> None:
    optional = dict.fromkeys(("center_lat", "center_lon", "crs", "time_", "x_", "y_", "sample_id"))
    store = read(raw_files(**optional))

    assert np.isnan(store.latitude).all()
    assert np.isnan(store.longitude).all()
    assert np.isnan(store.bounds).all()
    assert store.crs.tolist() == [0, 0]
    assert store.order == ("product", "product")
    assert {name for row in store.orbit_passes for name in row} == {"unknown"}


@pytest.mark.parametrize("fill", [None, 0, 0.0])
def test_chunks_left_out_of_coordinates_are_unknown_and_not_zero(
    read: Callable[..., Store], raw_files: Files, fill: float | None
) -> None:
    files = raw_files(file_id=np.full((2, 4), "not known"))
    for name in ("center_lat", "center_lon", "x_", "y_"):
        files = edited(files, name, fill_value=fill)
    for chunk in ("center_lat/0", "center_lon/0", "crs/0", "time_/0.0", "x_/0.0", "y_/0.0"):
        del files[chunk]
    store = read(files)

    assert np.isnan(store.latitude).all()
    assert np.isnan(store.bounds).all()
    assert np.isnat(store.dates).all()
    assert store.crs.tolist() == [0, 0]


def test_coordinates_of_other_dtypes_are_numbers_too(read: Callable[..., Store], raw_files: Files) -> None:
    store = read(
        raw_files(
            center_lat=np.array([1, 2], ">f4"),
            center_lon=np.array([3, 4], "<i2"),
            crs=np.array([np.nan, 32651.0]),
        )
    )

    assert store.latitude.dtype == store.longitude.dtype == np.dtype(np.float64)
    assert store.latitude.tolist() == [1, 2]
    assert store.longitude.tolist() == [3, 4]
    assert store.crs.tolist() == [0, 32651]


def test_nan_and_infinity_are_kept_as_they_are(
    read: Callable[..., Store], raw_files: Files, raw_arrays: Arrays
) -> None:
    raw = raw_arrays()
    raw["bands"][0, 0, 0, :3, 0] = [np.nan, -np.inf, np.inf]
    raw["center_lat"][0] = np.inf
    store = read(raw_files(bands=raw["bands"], center_lat=raw["center_lat"]))

    np.testing.assert_array_equal(store.db, raw["bands"])
    assert np.isnan(store.latitude).tolist() == [True, False]


def test_a_missing_chunk_is_an_error_and_never_0_db(refuse: Callable[..., str], raw_files: Files) -> None:
    files = raw_files()
    for t in range(4):
        name = f"bands/0.{t}.0.0.0"
        assert f"chunk {name} is missing" in refuse({key: data for key, data in files.items() if key != name})


@pytest.mark.parametrize("name", ["band", "bands", "sample", "file_id"])
def test_a_missing_variable_is_named(refuse: Callable[..., str], raw_files: Files, name: str) -> None:
    assert f"no variable {name!r}" in refuse(raw_files(**{name: None}))


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((2, 5, 2, 264, 264), "5 dates, at most 4"),
        ((2, 4, 2, 256, 250), "256 x 250 pixels, needs 264 x 264: a pixel of a cube is 41.25 m"),
        ((65, 4, 2, 264, 264), "65 samples, needs 1 to 64"),
        ((2, 4, 1, 264, 264), "1 bands, needs 2"),
        ((4, 2, 264, 264), "4 axes, needs 5"),
        ((2,), "1 axes"),
    ],
)
def test_another_shape_is_said(
    refuse: Callable[..., str], raw_files: Files, shape: tuple[int, ...], reason: str
) -> None:
    said = refuse(edited(raw_files(), "bands", shape=shape, chunks=shape))

    assert f"bands has shape {list(shape)}" in said
    assert reason in said


@pytest.mark.parametrize("dates", [1, 2, 3])
@pytest.mark.parametrize("permuted", [False, True])
def test_stores_of_fewer_dates_are_read(
    read: Callable[..., Store], raw_files: Files, raw_arrays: Arrays, products: list[str], dates: int, permuted: bool
) -> None:
    raw = {name: raw_arrays(3)[name] for name in ("bands", "file_id", "time_", "sample_id")}
    order = list(range(dates))[:: -1 if permuted else 1]
    store = read(raw_files(3, **{name: np.ascontiguousarray(array[:, order]) for name, array in raw.items()}))

    np.testing.assert_array_equal(store.db, raw["bands"][:, :dates])
    assert store.products == [products[:dates]] * 3
    np.testing.assert_array_equal(store.dates, raw["time_"][:, :dates].view("datetime64[ns]"))
    assert [len(row) for row in store.orbit_passes] == [len(row) for row in store.relative_orbits] == [dates] * 3


def test_chunks_are_decoded_to_where_they_belong_and_dates_in_order_are_not_copied(
    read: Callable[..., Store], raw_files: Files, raw_arrays: Arrays
) -> None:
    raw = raw_arrays(3)
    stored, ids = raw["bands"].copy(), raw["file_id"].copy()
    stored[1], ids[1] = stored[1, [2, 0, 1, 3]], ids[1, [2, 0, 1, 3]]
    files = raw_files(3, bands=stored, file_id=ids)
    tracemalloc.start()
    try:
        store = read(files)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    # Besides the places themselves: one chunk as it is stored, and small things.
    assert peak < stored.nbytes + 2_000_000
    assert np.shares_memory(store.place(0), store.stored)
    assert not np.shares_memory(store.place(1), store.stored)
    np.testing.assert_array_equal(store.place(1), raw["bands"][1])


def test_variables_of_other_lengths_are_said(refuse: Callable[..., str], raw_files: Files, raw_arrays: Arrays) -> None:
    three = raw_arrays(3)
    for name in ("sample", "file_id", "center_lat", "crs", "time_", "x_"):
        assert f"{name} has shape" in refuse(raw_files(2, **{name: three[name]}))


@pytest.mark.parametrize("dtype", ["<f4", "<i2", ">f2", "<u2"])
def test_another_dtype_is_said(refuse: Callable[..., str], raw_files: Files, raw_arrays: Arrays, dtype: str) -> None:
    said = refuse(raw_files(bands=raw_arrays()["bands"].astype(dtype)))

    assert "bands has dtype" in said
    assert "float16" in said


def test_text_and_numbers_are_not_confused(refuse: Callable[..., str], raw_files: Files) -> None:
    assert "center_lat has dtype" in refuse(raw_files(center_lat=np.array(["1", "2"])))
    assert "sample has dtype" in refuse(raw_files(sample=np.arange(2)))
    assert "file_id has dtype" in refuse(raw_files(file_id=np.zeros((2, 4))))


def test_other_dimensions_are_said(refuse: Callable[..., str], raw_files: Files) -> None:
    attributes = {"_ARRAY_DIMENSIONS": ["time", "sample", "band", "y", "x"]}

    assert "dimensions" in refuse({**raw_files(), "bands/.zattrs": json.dumps(attributes).encode()})


@pytest.mark.parametrize("bad", ["../x", "/etc/passwd", "..", "", "a b", "a\nb", "=1+1", "é", "x" * 129, "-rf"])
def test_ids_that_are_no_names_are_refused(refuse: Callable[..., str], raw_files: Files, bad: str) -> None:
    assert "sample" in refuse(raw_files(sample=np.array(["0080717", bad]))) or "place ids" in refuse(
        raw_files(sample=np.array(["0080717", bad]))
    )


def test_ids_that_stand_twice_are_refused(refuse: Callable[..., str], raw_files: Files) -> None:
    assert "stand twice" in refuse(raw_files(sample=np.array(["0080717", "0080717"])))


def test_bytes_that_are_no_characters_are_refused(refuse: Callable[..., str], raw_files: Files) -> None:
    files = raw_files(codec=None)
    for name in ("band/0", "sample/0", "file_id/0.0"):
        for damage in (b"\xff\xff\xff\x7f", b"\x00\xd8\x00\x00", b"\x0a\x00\x00\x00"):
            assert "not printable ASCII" in refuse({**files, name: damage + files[name][4:]})


def test_object_arrays_and_pickles_are_refused(refuse: Callable[..., str], raw_files: Files) -> None:
    filters = [{"id": "pickle", "protocol": 5}]
    files = {**raw_files(), "sample/0": pickle.dumps(np.array(["a", "b"], object))}

    assert "'|O'" in refuse(edited(files, "sample", dtype="|O", filters=filters))
    assert "plain Zarr v2" in refuse(edited(files, "sample", filters=filters))
    assert "'pickle' is not allowed" in refuse(edited(files, "sample", compressor={"id": "pickle"}))


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("zarr_format", 3),
        ("order", "F"),
        ("shape", "22"),
        ("shape", [2.5, 4, 2, 264, 264]),
        ("shape", [True, 4, 2, 264, 264]),
        ("shape", [1e400, 4, 2, 264, 264]),
        ("shape", [-2, 4, 2, 264, 264]),
        ("shape", 2),
        ("chunks", [2, 1, 2, 264]),
        ("chunks", [0, 1, 2, 264, 264]),
        ("chunks", [1, 1, 1, 1, 1]),
        ("chunks", [10**12, 1, 2, 264, 264]),
        ("dtype", [["a", "<f2"]]),
        ("dtype", "<U0"),
        ("dtype", "f2, i4"),
        ("dtype", "<f3"),
        ("compressor", "blosc"),
        ("compressor", {}),
        ("compressor", {"id": ["blosc"]}),
        ("compressor", {"id": "nobody"}),
        ("filters", [{"id": "delta"}]),
        ("dimension_separator", "./"),
        ("dimension_separator", ""),
        ("dimension_separator", 5),
        ("dimension_separator", "-"),
    ],
)
def test_metadata_that_cannot_be_is_refused(
    refuse: Callable[..., str], raw_files: Files, entry: str, value: object
) -> None:
    assert "bands" in refuse(edited(raw_files(), "bands", **{entry: value}))


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b"{}"])
def test_metadata_that_is_no_object_is_refused(refuse: Callable[..., str], raw_files: Files, text: bytes) -> None:
    assert "bands/.zarray" in refuse({**raw_files(), "bands/.zarray": text})


@pytest.mark.parametrize("fill", ["x", [1], {}, 1e300, "Infinity"])
def test_fill_values_that_are_no_numbers_are_refused(
    refuse: Callable[..., str], raw_files: Files, fill: object
) -> None:
    files = edited(raw_files(), "crs", fill_value=fill)
    del files["crs/0"]

    assert "fill value" in refuse(files)


def test_sizes_are_checked_before_anything_is_allocated(refuse: Callable[..., str], raw_files: Files) -> None:
    huge = 10**11
    tracemalloc.start()
    try:
        for name, shape in (("bands", [huge, 4, 2, 264, 264]), ("band", [huge]), ("sample", [huge]), ("x_", [2, huge])):
            said = refuse(edited(raw_files(), name, shape=shape, chunks=shape))
            assert "is not of the data set" in said
        # A chunk that says in its header that it holds 2 GB.
        files = raw_files()
        header = bytearray(files["bands/0.0.0.0.0"])
        header[4:8] = (2**31 - 1).to_bytes(4, "little")
        assert "2,147,483,647 bytes" in refuse({**files, "bands/0.0.0.0.0": bytes(header)})
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_a_zarr_3_store_is_called_so(tmp_path: Path, raw_arrays: Arrays) -> None:
    group = zarr.create_group(tmp_path / "s.zarr", zarr_format=3)
    group.create_array("bands", data=raw_arrays()["bands"])

    with pytest.raises(DataError, match="is a Zarr v3 store") as caught:
        read_store(tmp_path / "s.zarr")
    assert "v2" in caught.value.hint


def test_an_empty_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "s.zarr").mkdir()

    with pytest.raises(DataError, match="no variable 'band'"):
        read_store(tmp_path / "s.zarr")


def test_a_folder_that_was_damaged_after_first_sight_is_refused(
    tmp_path: Path, raw_files: Files, write_store: Write
) -> None:
    files = raw_files(codec=None)
    path = write_store(tmp_path / "s.zarr", files)
    first = read_store(path, tmp_path / "sources")
    assert_same(read_store(path, tmp_path / "sources"), first)

    damaged = bytearray(files["bands/0.2.0.0.0"])
    damaged[12345] ^= 4
    write_store(path, {"bands/0.2.0.0.0": bytes(damaged)})
    with pytest.raises(DataError, match=r"bands/0\.2\.0\.0\.0' is not what it was"):
        read_store(path, tmp_path / "sources")

"""The files that the simulator writes."""

import json
import zipfile

import numpy as np
import pyarrow.parquet as pq
import pytest
import xarray as xr
import zarr

from sarpipe.errors import UsageError
from sarpipe.simulate import simulate, simulate_place
from sarpipe.simulate.store import _compress
from sarpipe.ssl4eo import find_stores, read_store

UNSORTED = 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zipped")
    simulate(folder, stores=2, places=3)
    return folder


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_paths_names_and_progress(tmp_path):
    calls = []

    paths = simulate(tmp_path, stores=2, places=2, progress=lambda done, total: calls.append((done, total)))

    assert [path.name for path in paths] == [f"ssl4eos12_train_seasonal_data_00000{i}.zarr.zip" for i in (1, 2)]
    assert paths == find_stores(tmp_path)
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(folder, tmp_path):
    simulate(tmp_path, stores=1, places=3)
    again = files(tmp_path)
    simulate(tmp_path, stores=1, places=3, seed=1)

    # Nor does it matter how many stores were asked for.
    assert again == {name: data for name, data in files(folder).items() if "000001" in name}
    assert not set(again.values()) & set(files(tmp_path).values())


def test_chunks_are_compressed_to_the_same_bytes_each_time():
    values = simulate_place(0, 1, 0).db

    assert len({_compress(np.stack([values] * 4)) for _ in range(5)}) == 1


def test_a_store_reads_without_complaint_and_a_folder_equals_its_zip(folder, tmp_path):
    unpacked = simulate(tmp_path, stores=1, places=3, zipped=False)[0]
    # A second time over the first: the same, and nothing left beside it.
    assert simulate(tmp_path, stores=1, places=3, zipped=False) == [unpacked]

    first, second = read_store(folder / f"{unpacked.name}.zip"), read_store(unpacked)

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "ssl4eos12_train_seasonal_data_000001.truth.parquet",
        "ssl4eos12_train_seasonal_data_000001.zarr",
    ]
    assert first.db.tobytes() == second.db.tobytes()
    for name in ("latitude", "longitude", "crs", "bounds", "dates"):
        assert (getattr(first, name) == getattr(second, name)).all()
    assert (first.ids, first.products, first.order) == (second.ids, second.products, second.order)
    assert set(first.order) == {"product"}
    assert not np.isnat(first.dates).any()
    assert all(orbit > 0 for row in first.relative_orbits for orbit in row)


def test_what_is_read_is_what_was_simulated_with_the_dates_in_order(folder, tmp_path):
    place = next(p for p in range(64) if _is_unsorted(simulate_place(UNSORTED, 1, p)))
    path = simulate(tmp_path, stores=1, places=place + 1, seed=UNSORTED)[0]
    simulated = simulate_place(UNSORTED, 1, place)
    order = np.argsort([file_id[17:32] for file_id in simulated.file_ids])

    store = read_store(path)

    assert store.ids[place] == simulated.id
    assert store.products[place] == [simulated.file_ids[t] for t in order]
    assert (store.dates[place] == simulated.times).all()
    np.testing.assert_array_equal(store.db[place], simulated.db[order])
    assert list(simulated.file_ids) == sorted(simulated.file_ids)
    assert list(order) != [0, 1, 2, 3]


def _is_unsorted(place):
    return list(place.file_ids) != sorted(place.file_ids, key=lambda file_id: file_id[17:32])


def test_xarray_opens_it_with_the_variables_of_the_data_set(folder):
    path = folder / "ssl4eos12_train_seasonal_data_000001.zarr.zip"
    with zarr.storage.ZipStore(path, mode="r") as zipped, xr.open_zarr(zipped) as data:
        simulated = simulate_place(0, 1, 1)
        assert dict(data.sizes) == {"sample": 3, "time": 4, "band": 2, "y": 264, "x": 264}
        assert data.bands.dtype == np.float16
        np.testing.assert_array_equal(data.bands.values[1], simulated.db)
        assert data.band.values.tolist() == ["vv", "vh"]
        assert data.sample_id.values[1].tolist() == [f"{simulated.id}_{t}" for t in range(4)]
        assert (data.time_.values[1] == simulated.times).all()
        assert data.crs.values[1] == simulated.location.crs


def test_arrays_have_the_dtypes_chunks_and_codec_of_a_real_store(folder, real_data):
    real = _metadata(real_data / "S1GRD" / "ssl4eos12_train_seasonal_data_900001.zarr.zip")
    ours = _metadata(folder / "ssl4eos12_train_seasonal_data_000001.zarr.zip")

    # The real one has a month where it knows no date, 6 places, and shorter ids of its own.
    assert set(real) - set(ours) == {"month/.zarray", "month/.zattrs"}
    assert set(ours) <= set(real)
    assert ours["file_id/.zarray"]["dtype"] == "<U67"
    real["file_id/.zarray"]["dtype"] = "<U67"
    for name in set(ours) - {".zattrs", "time_/.zattrs"}:
        for key in {"shape", "chunks"} & set(real[name]):
            real[name][key] = [3 if size == 6 else size for size in real[name][key]]
        assert ours[name] == real[name], name


def _metadata(path):
    with zipfile.ZipFile(path) as bundle:
        assert {member.compress_type for member in bundle.infolist()} == {zipfile.ZIP_STORED}
        return json.loads(bundle.read(".zmetadata"))["metadata"]


def test_truth_stands_beside_every_store_with_one_row_a_place(folder):
    ids = []
    for path in find_stores(folder):
        truth = pq.read_table(folder / f"{path.name.removesuffix('.zarr.zip')}.truth.parquet").to_pydict()
        assert truth["id"] == list(read_store(path).ids)
        assert truth["fraction_water"][2] == simulate_place(0, int(path.name[-15:-9]), 2).truth["fraction_water"]
        ids += truth["id"]

    assert len(set(ids)) == len(ids) == 6


@pytest.mark.parametrize(("wrong", "value"), [("stores", 0), ("places", 0), ("places", 65), ("seed", -1)])
def test_numbers_out_of_range_are_refused(tmp_path, wrong, value):
    with pytest.raises(UsageError, match=f"{wrong} is {value}"):
        simulate(tmp_path, **{wrong: value})

    assert not list(tmp_path.iterdir())


def test_a_store_that_was_not_simulated_is_not_replaced(tmp_path):
    real = tmp_path / "ssl4eos12_train_seasonal_data_000002.zarr.zip"
    real.write_bytes(b"fetched")
    with pytest.raises(UsageError, match=r"data_000002\.zarr\.zip is there and was not simulated"):
        simulate(tmp_path, stores=2, places=1)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"fetched"]
    real.unlink()
    before = [path.read_bytes() for path in simulate(tmp_path, stores=1, places=1)]
    assert [path.read_bytes() for path in simulate(tmp_path, stores=1, places=1)] == before

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from sarpipe.channels import CHANNELS
from sarpipe.cubes_parquet import ROW_GROUP, write_cubes_parquet
from sarpipe.preprocess.unit import INDEX


def make_unit(folder: Path, places: int) -> NDArray[np.float32]:
    folder.mkdir()
    rng = np.random.default_rng(places)
    cubes = rng.normal(-12, 4, (places, 12, 64, 64)).astype(np.float32)
    cubes[:, 3, :5] = np.nan
    np.save(folder / "cubes.npy", cubes)
    rows = [
        {"id": f"{i:07d}", "store": "a", "latitude": None if i else 48.1, "dates": [None] * 4, "crs": i}
        for i in range(places)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=INDEX), folder / "index.parquet")
    return cubes


@pytest.mark.parametrize("places", [0, 1, ROW_GROUP, 2 * ROW_GROUP + 3])
def test_cubes_and_index_come_back_bit_for_bit(tmp_path: Path, places: int) -> None:
    cubes = make_unit(tmp_path / "unit", places)
    write_cubes_parquet(tmp_path / "a.parquet", tmp_path / "unit", {"unit": "x"})
    table = pq.read_table(tmp_path / "a.parquet")
    assert table.drop_columns("cube").replace_schema_metadata(None) == pq.read_table(tmp_path / "unit/index.parquet")
    kind = table.schema.field("cube").type
    assert (kind.extension_name, kind.shape, kind.dim_names) == (
        "arrow.fixed_shape_tensor",
        [12, 64, 64],
        ["channel", "y", "x"],
    )
    assert table["cube"].null_count == 0
    if places:
        read = table["cube"].combine_chunks().to_numpy_ndarray()
        assert read.dtype == np.float32
        assert read.tobytes() == cubes.tobytes()
    assert json.loads(table.schema.metadata[b"sarpipe"]) == {"channels": list(CHANNELS), "unit": "x"}


def test_a_single_place_is_read_without_the_others(tmp_path: Path) -> None:
    cubes = make_unit(tmp_path / "unit", 20)
    write_cubes_parquet(tmp_path / "a.parquet", tmp_path / "unit", {})
    file = pq.ParquetFile(tmp_path / "a.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [8, 8, 4]
    found = file.read_row_group(17 // ROW_GROUP, columns=["cube"])["cube"].combine_chunks().to_numpy_ndarray()
    assert np.array_equal(found[17 % ROW_GROUP], cubes[17], equal_nan=True)
    # Whoever picks a place by id skips the row groups that cannot have it.
    one = pq.read_table(tmp_path / "a.parquet", filters=[("id", "==", "0000017")])
    assert one["id"].to_pylist() == ["0000017"]


def test_same_unit_same_bytes_and_pandas_sees_a_list(tmp_path: Path) -> None:
    cubes = make_unit(tmp_path / "unit", 9)
    for name in ("a", "b"):
        write_cubes_parquet(tmp_path / name, tmp_path / "unit", {"recipe": {"name": "sar"}})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    row = pq.read_table(tmp_path / "a").to_pandas()["cube"][8]
    assert np.array_equal(np.reshape(row, (12, 64, 64)), cubes[8], equal_nan=True)


def test_memory_does_not_grow_with_the_unit(tmp_path: Path) -> None:
    peaks = []
    for places in (4 * ROW_GROUP, 32 * ROW_GROUP):
        make_unit(tmp_path / str(places), places)
        pool, before = pa.proxy_memory_pool(pa.default_memory_pool()), pa.default_memory_pool()
        pa.set_memory_pool(pool)
        try:
            write_cubes_parquet(tmp_path / "a.parquet", tmp_path / str(places), {})
        finally:
            pa.set_memory_pool(before)
        peaks.append(pool.max_memory())
    assert 0 < peaks[1] < peaks[0] + 4_000_000 < (tmp_path / str(places) / "cubes.npy").stat().st_size / 2

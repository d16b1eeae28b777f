from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray
import zarr

from sarpipe.embeddings import Embeddings, Origin, write_zarr


def test_xarray_opens_it_with_everything_in_its_place(tmp_path: Path, embeddings: Embeddings, origin: Origin) -> None:
    write_zarr(tmp_path / "e.zarr", embeddings, origin)
    data = xarray.open_zarr(tmp_path / "e.zarr", consolidated=True)
    assert list(data.data_vars) == ["embedding"]
    assert data["embedding"].dims == ("place", "dimension")
    assert data["embedding"].dtype == np.float32
    assert list(data["id"].values) == ["centre-only", "munich", "sydney", "nowhere"]
    rows = [embeddings.ids.index(place) for place in data["id"].values]
    np.testing.assert_array_equal(data["embedding"].values, embeddings.vectors[rows])
    np.testing.assert_array_equal(data["latitude"].values, embeddings.index["latitude"].iloc[rows])
    np.testing.assert_array_equal(data["dates"].values.astype("datetime64[us]"), embeddings.dates()[rows])
    assert data["products"].values[0].tolist() == embeddings.index["products"][rows[0]]
    assert data["relative_orbits"].dims == ("place", "date")
    assert data.attrs["sarpipe"] == origin.provenance


def test_it_says_what_the_convention_for_embeddings_asks(
    tmp_path: Path, embeddings: Embeddings, origin: Origin
) -> None:
    """The rules of geo-embeddings/embeddings-zarr-convention v1, as we read them."""
    write_zarr(tmp_path / "e.zarr", embeddings, origin)
    said = json.loads((tmp_path / "e.zarr" / "zarr.json").read_text())
    attributes = said["attributes"]
    (convention,) = attributes["zarr_conventions"]
    assert (said["zarr_format"], said["node_type"]) == (3, "group")
    assert convention["uuid"] == "61c12cc5-0e28-4056-999a-480cf3fb7e4c"
    assert convention["name"] == "geoemb:"
    assert attributes["geoemb:type"] == "chip"
    assert attributes["geoemb:dimensions"] == embeddings.vectors.shape[1]
    assert attributes["geoemb:data_type"] == str(embeddings.vectors.dtype)
    assert attributes["geoemb:chip_layout"] == {"layout_type": "irregular", "chip_size": [264, 264]}
    assert attributes["geoemb:gsd"] == 10
    for uri in (attributes["geoemb:model"], *attributes["geoemb:source_data"]):
        assert uri.startswith("urn:")
    assert origin.model in attributes["geoemb:model"]


def test_dates_that_are_not_there_are_empty(tmp_path: Path, fewer_dates_embeddings: Embeddings, origin: Origin) -> None:
    write_zarr(tmp_path / "e.zarr", fewer_dates_embeddings, origin)
    data = xarray.open_zarr(tmp_path / "e.zarr", consolidated=True)
    rows = [list(data["id"].values).index(place) for place in fewer_dates_embeddings.ids]
    data = data.isel(place=rows)
    np.testing.assert_array_equal(data["dates"].values.astype("datetime64[us]"), fewer_dates_embeddings.dates())
    assert data["products"].values[1].tolist() == ["S1A_one", "S1A_two", "", ""]
    assert data["orbit_passes"].values[0].tolist() == ["ascending", "", "", ""]
    assert data["relative_orbits"].values.tolist() == [[1, 0, 0, 0], [1, 2, 0, 0], [1, 2, 0, 0], [1, 2, 0, 175]]
    assert data["flags"].values.tolist() == ["single_date", "", "partly_valid", ""]


def test_it_is_version_3(tmp_path: Path, embeddings: Embeddings, origin: Origin) -> None:
    write_zarr(tmp_path / "e.zarr", embeddings, origin)
    group = zarr.open_group(tmp_path / "e.zarr", mode="r")
    assert group.metadata.zarr_format == 3
    assert group.metadata.consolidated_metadata is not None


@pytest.mark.parametrize("count", [0, 5])
def test_the_bytes_depend_on_the_table_alone(
    tmp_path: Path, make_embeddings: Callable[..., Embeddings], origin: Origin, count: int
) -> None:
    table = make_embeddings([(f"p{i}", float(i), 1.0, 0) for i in range(count)])
    trees = []
    for name, provenance in (("one", {"b": 1, "a": 2}), ("two", {"a": 2, "b": 1})):
        write_zarr(tmp_path / name, table, replace(origin, provenance=provenance))
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        trees.append({str(path.relative_to(tmp_path / name)): path.read_bytes() for path in files})
    assert trees[0] == trees[1]


def test_a_chunk_that_is_lost_is_not_read_as_a_number(tmp_path: Path, embeddings: Embeddings, origin: Origin) -> None:
    write_zarr(tmp_path / "e.zarr", embeddings, origin)
    (tmp_path / "e.zarr" / "embedding" / "c" / "0" / "0").unlink()
    assert np.isnan(xarray.open_zarr(tmp_path / "e.zarr")["embedding"].values).all()


def test_a_flipped_bit_is_found(tmp_path: Path, embeddings: Embeddings, origin: Origin) -> None:
    write_zarr(tmp_path / "e.zarr", embeddings, origin)
    chunk = tmp_path / "e.zarr" / "embedding" / "c" / "0" / "0"
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(bytes(data))
    with pytest.raises(RuntimeError, match="checksum"):
        xarray.open_zarr(tmp_path / "e.zarr")["embedding"].values  # noqa: B018

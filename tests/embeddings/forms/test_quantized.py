import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import geopandas
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sarpipe.codes import Code
from sarpipe.embeddings import Embeddings, read_geoparquet
from sarpipe.embeddings.forms import FORMS, Form, Int8
from sarpipe.embeddings.quantized import read_form, read_quantized, write_quantized
from sarpipe.errors import DataError
from sarpipe.storage import digest_json

TYPES = {
    "float16": pa.list_(pa.float16(), 1024),
    "int8": pa.list_(pa.int8(), 1024),
    "binary": pa.list_(pa.uint8(), 128),
    "pca_int8": pa.list_(pa.int8(), 64),
    "pq": pa.list_(pa.uint8(), 64),
}
PROVENANCE = {"settings": {"a": 1}}


@pytest.fixture(scope="module")
def fitted() -> dict[str, Form]:
    rng = np.random.default_rng(0)
    vectors = (rng.standard_normal((150, 40)) @ rng.standard_normal((40, 1024))).astype(np.float32)
    return {name: kind.fit(vectors) for name, kind in FORMS.items()}


@pytest.mark.parametrize("name", FORMS)
def test_the_file_alone_gives_the_vectors_that_the_form_gives(
    tmp_path: Path, embeddings: Embeddings, fitted: dict[str, Form], name: str
) -> None:
    path = tmp_path / "small.parquet"
    write_quantized(path, embeddings, fitted[name], PROVENANCE)
    found, provenance, form = read_quantized(path)
    assert (provenance, form) == (PROVENANCE, name)
    assert read_form(path)[1] == 4
    expected = fitted[name].decode(fitted[name].encode(embeddings.vectors))
    rows = [embeddings.ids.index(place) for place in found.ids]
    np.testing.assert_array_equal(found.vectors, expected[rows])
    assert found.index["store"].tolist() == embeddings.index["store"].iloc[rows].tolist()


@pytest.mark.parametrize("name", FORMS)
def test_it_is_geoparquet_with_codes_of_the_stated_bytes(
    tmp_path: Path, embeddings: Embeddings, fitted: dict[str, Form], name: str
) -> None:
    path = tmp_path / "small.parquet"
    write_quantized(path, embeddings, fitted[name], PROVENANCE)
    table = geopandas.read_parquet(path)
    assert table.crs.to_string() == "OGC:CRS84"
    assert sorted(table["id"]) == sorted(embeddings.ids)
    schema = pq.read_schema(path)
    column = schema.field("embedding").type
    assert column == TYPES[name]
    width = column.list_size * column.value_type.bit_width // 8 + (4 if "scale" in schema.names else 0)
    assert width == fitted[name].bytes_a_place
    # What is large stands in the file once.
    assert b"sarpipe:form" not in (schema.metadata or {})


def test_the_scale_of_a_place_is_a_column(tmp_path: Path, embeddings: Embeddings) -> None:
    path = tmp_path / "small.parquet"
    write_quantized(path, embeddings, Int8(1024), PROVENANCE)
    table = pq.read_table(path).to_pandas()
    for place, code, scale in zip(table["id"], table["embedding"], table["scale"], strict=True):
        vector = embeddings.vectors[embeddings.ids.index(place)]
        np.testing.assert_allclose(code * scale, vector, atol=scale * 0.501)


@pytest.mark.parametrize("name", FORMS)
def test_the_same_places_in_any_order_give_the_same_bytes(
    tmp_path: Path, embeddings: Embeddings, fitted: dict[str, Form], name: str
) -> None:
    turned = [3, 1, 0, 2]
    other = Embeddings(
        tuple(embeddings.ids[i] for i in turned),
        embeddings.vectors[turned],
        embeddings.index.iloc[turned].reset_index(drop=True),
    )
    for file, table in (("a", embeddings), ("b", other)):
        write_quantized(tmp_path / file, table, fitted[name], PROVENANCE)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def changed(path: Path, change: Callable[[dict], object]) -> Path:
    """The same file, its metadata of the form changed by who knows of their checksum."""
    table = pq.read_table(path)
    said = json.loads(pq.read_metadata(path).metadata[b"sarpipe:form"])
    del said["checksum"]
    change(said)
    said["checksum"] = digest_json(said)
    other = path.with_name("changed.parquet")
    with pq.ParquetWriter(other, table.schema) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({"sarpipe:form": json.dumps(said)})
    return other


CHANGES: dict[str, Callable[[dict], object]] = {
    "another version": lambda said: said.update(version=1),
    "a form that is not known": lambda said: said.update(form="lpq"),
    "other bytes": lambda said: said.update(bytes_a_place=65),
    "an array too few": lambda said: said["arrays"].pop("codebooks"),
    "an array too many": lambda said: said["arrays"].update(more=said["arrays"]["mean"]),
    "another shape": lambda said: said["arrays"]["mean"].update(shape=[512, 2]),
    "another type": lambda said: said["arrays"]["mean"].update(dtype="|O"),
    "no base64": lambda said: said["arrays"]["mean"].update(base64="%%%"),
    "cut": lambda said: said["arrays"]["mean"].update(base64=said["arrays"]["mean"]["base64"][:400]),
    "not a number": lambda said: said["arrays"]["mean"].update(
        base64=base64.b64encode(np.full(1024, np.nan, "<f4").tobytes()).decode()
    ),
    "no mapping": lambda said: said.update(arrays=[1]),
}


@pytest.mark.parametrize("how", CHANGES)
def test_metadata_that_do_not_fit_are_refused(
    tmp_path: Path, embeddings: Embeddings, fitted: dict[str, Form], how: str
) -> None:
    path = tmp_path / "small.parquet"
    write_quantized(path, embeddings, fitted["pq"], PROVENANCE)
    assert read_quantized(changed(path, lambda said: None))[0].ids == read_quantized(path)[0].ids
    with pytest.raises(DataError, match=r"changed\.parquet"):
        read_quantized(changed(path, CHANGES[how]))


def test_a_file_without_a_form_is_refused(tmp_path: Path, embeddings: Embeddings) -> None:
    from sarpipe.embeddings import write_geoparquet

    write_geoparquet(tmp_path / "plain.parquet", embeddings, {})
    with pytest.raises(DataError, match="no smaller form"):
        read_quantized(tmp_path / "plain.parquet")
    (tmp_path / "text").write_text("no parquet")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        read_quantized(tmp_path / "text")


def test_codes_of_another_form_are_refused(tmp_path: Path, embeddings: Embeddings, fitted: dict[str, Form]) -> None:
    path = tmp_path / "small.parquet"
    write_quantized(path, embeddings, fitted["pq"], PROVENANCE)
    with pytest.raises(DataError, match="column embedding is"):
        read_quantized(
            changed(
                path, lambda said: said.update(form="int8", bytes_a_place=1028, numbers={"dimensions": 1024}, arrays={})
            )
        )


def test_a_quantized_file_is_no_file_of_the_embed_stage(
    tmp_path: Path, embeddings: Embeddings, fitted: dict[str, Form]
) -> None:
    write_quantized(tmp_path / "small.parquet", embeddings, fitted["binary"], PROVENANCE)
    with pytest.raises(DataError, match="column embedding is"):
        read_geoparquet(tmp_path / "small.parquet")


def test_a_form_learnt_from_another_dimension_is_refused(tmp_path: Path, embeddings: Embeddings) -> None:
    with pytest.raises(DataError, match=r"need \[N, 7\]"):
        write_quantized(tmp_path / "small.parquet", embeddings, replace(Int8(1024), dimensions=7), PROVENANCE)


def test_a_flipped_bit_of_what_a_form_has_learnt_is_noticed(
    tmp_path: Path, embeddings: Embeddings, fitted: dict[str, Form]
) -> None:
    path = tmp_path / "small.parquet"
    write_quantized(path, embeddings, fitted["pca_int8"], PROVENANCE)
    whole = path.read_bytes()
    start, length = whole.rindex(b'{"arrays"'), len(pq.read_metadata(path).metadata[b"sarpipe:form"])
    for at in np.random.default_rng(0).integers(start, start + length, 60):
        broken = bytearray(whole)
        # It leaves a letter a letter, a digit a digit, and so base64 what can be decoded.
        broken[at] ^= 1
        path.write_bytes(broken)
        with pytest.raises(DataError):
            read_quantized(path)


def test_a_form_without_a_checksum_is_refused(tmp_path: Path, embeddings: Embeddings) -> None:
    path = tmp_path / "small.parquet"
    write_quantized(path, embeddings, Int8(1024), PROVENANCE)
    table, said = pq.read_table(path), json.loads(pq.read_metadata(path).metadata[b"sarpipe:form"])
    del said["checksum"]
    for version, why in ((1, "has version 1"), (2, "are damaged")):
        with pq.ParquetWriter(path, table.schema) as writer:
            writer.write_table(table)
            writer.add_key_value_metadata({"sarpipe:form": json.dumps({**said, "version": version})})
        with pytest.raises(DataError, match=why) as caught:
            read_form(path)
        assert caught.value.code == Code.BAD_TABLE


def test_a_flipped_byte_of_a_code_is_noticed(
    tmp_path: Path, embeddings: Embeddings, flipped: Callable[[Path], Iterator[None]]
) -> None:
    path = tmp_path / "small.parquet"
    write_quantized(path, embeddings, Int8(1024), PROVENANCE)
    expected = read_quantized(path)[0].vectors
    noticed = 0
    for _ in flipped(path):
        try:
            found = read_quantized(path)[0].vectors
        except DataError:
            noticed += 1
            continue
        np.testing.assert_array_equal(found, expected)
    assert noticed > 75

"""The command on 40 places of which the embeddings are planted: two that are alike, and the rest."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sarpipe.embeddings import Embeddings, write_geoparquet
from sarpipe.embeddings.forms import FORMS
from sarpipe.embeddings.quantized import write_quantized
from sarpipe.flows.cli import main
from sarpipe.search import by_id, find
from sarpipe.stages import search as stage
from sarpipe.storage import commit, ensure, mount, open_verified

Run = Callable[..., tuple[int, str, str]]
COUNT = 40


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> tuple[int, str, str]:
        code = main(["search", *(str(argument) for argument in arguments)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def table(count: int = COUNT, ids: str = "{:07d}") -> Embeddings:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((count, 1024)).astype(np.float32)
    vectors[7] = vectors[3] + 0.1 * rng.standard_normal(1024)
    names = tuple(ids.format(place) for place in range(count))
    index = pd.DataFrame({"id": names, "store": "s", "latitude": np.linspace(-40, 40, count), "longitude": 10.0})
    index["crs"], index["valid_fraction"] = 0, 1.0
    index[["west", "south", "east", "north"]] = np.nan
    days = [pd.Timestamp("2020-01-05", tz="UTC"), pd.Timestamp("2020-07-05", tz="UTC")]
    for name, entries in {
        "dates": days,
        "products": ["", ""],
        "orbit_passes": ["ascending"] * 2,
        "relative_orbits": [1, 1],
        "flags": [],
    }.items():
        index[name] = [entries] * count
    return Embeddings(names, vectors, index)


def put(data: Path, name: str, embeddings: Embeddings) -> Path:
    folder = data / "embeddings" / name
    commit(
        folder, {"stage": "embed"}, lambda to: write_geoparquet(to / "embeddings.parquet", embeddings, {"inputs": {}})
    )
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("data")
    put(folder, "sar-000000000001", table())
    yield folder
    assert not (folder / "search").exists(), "few places need no index"


def test_by_id_the_like_place_comes_first(run: Run, data: Path) -> None:
    code, out, said = run("--id", "0000003", "--data", data, "-k", 3)
    lines = out.splitlines()
    assert code == 0
    assert lines[0].split() == ["rank", "place", "similarity", "distance", "km", "latitude", "longitude", "dates"]
    assert lines[1].split()[:2] == ["1", "0000007"]
    assert lines[1].endswith("2020-01-05 2020-07-05")
    assert len(lines) == 4
    assert "places like 0000003 at -33.8462, 10.0000" in said
    assert "39 of 40 places compared; exact" in said


def test_by_position_of_the_south_as_one_json_object(run: Run, data: Path) -> None:
    code, out, said = run("--at", "-33.8,10.05", "--data", data, "-k", 2, "--exclude-km", 1000, "--json")
    found = json.loads(out)
    assert (code, said) == (0, "")
    assert found["query"]["name"] == "0000003"
    assert found["query"]["distance_km"] == pytest.approx(6.9, abs=0.1)
    assert found["places"] == {"compared": 32, "left_out": 7}
    assert all(hit["distance_km"] > 1000 for hit in found["hits"])
    assert found["hits"][0]["dates"] == ["2020-01-05T00:00:00Z", "2020-07-05T00:00:00Z"]


def test_the_embeddings_made_last_are_taken_or_those_named(run: Run, tmp_path: Path) -> None:
    first = put(tmp_path, "sar-00000000000b", table())
    put(tmp_path, "sar-00000000000a", table(ids="later{}"))
    # A smaller form lies beside them.
    commit(
        tmp_path / "embeddings" / "int8-1", {}, lambda to: (to / "embeddings.int8.parquet").write_bytes(b"") and None
    )
    assert run("--id", "later3", "--data", tmp_path, "-k", 1)[1].splitlines()[1].split()[1] == "later7"
    for named in (first.name, first / "embeddings.parquet"):
        assert "0000007" in run("--id", "0000003", "--data", tmp_path, "-k", 1, "--embeddings", named)[1]
    shutil.copy(first / "embeddings.parquet", tmp_path / "alone.parquet")
    assert "0000007" in run("--id", "0000003", "-k", 1, "--embeddings", tmp_path / "alone.parquet")[1]


def test_damage_of_what_was_made_before_blocks_nothing(run: Run, tmp_path: Path) -> None:
    old = put(tmp_path, "sar-1", table())
    put(tmp_path, "sar-2", table(ids="later{}"))
    manifest = old / "manifest.json"
    times = manifest.stat().st_atime_ns, manifest.stat().st_mtime_ns
    manifest.write_text("{}")
    os.utime(manifest, ns=times)
    assert "later7" in run("--id", "later3", "--data", tmp_path, "-k", 1)[1]
    code, _, said = run("--id", "0000003", "--data", tmp_path, "--embeddings", "sar-1")
    assert code == 1
    assert "is damaged" in said


def test_a_smaller_form_is_searched_as_what_it_decodes_to(run: Run, tmp_path: Path) -> None:
    embeddings = table()
    form = FORMS["int8"].fit(embeddings.vectors)
    write_quantized(tmp_path / "small.parquet", embeddings, form, {"embeddings": {"inputs": {}}})
    code, out, _ = run("--id", "0000003", "-k", 1, "--embeddings", tmp_path / "small.parquet")
    assert code == 0
    assert out.splitlines()[1].split()[1] == "0000007"


def test_a_page_is_the_same_bytes_each_time(run: Run, data: Path, tmp_path: Path) -> None:
    pages = [tmp_path / "one.html", tmp_path / "two.html"]
    for page in pages:
        assert run("--id", "0000003", "--data", data, "--out", page)[0] == 0
    assert pages[0].read_bytes() == pages[1].read_bytes()


def test_a_page_that_finds_no_room_leaves_the_old_one(run: Run, data: Path, disk: Callable[[str], Path]) -> None:
    page = disk("size=16k") / "page.html"
    page.write_bytes(b"the old page")
    code, out, said = run("--id", "0000003", "--data", data, "--out", page, "--json")
    assert (code, json.loads(out)["code"]) == (1, "disk-full")
    assert "Traceback" not in said
    assert page.read_bytes() == b"the old page"
    assert [one.name for one in page.parent.iterdir()] == ["page.html"]


def test_a_page_says_how_far_the_query_is_and_has_land_below_its_places(run: Run, data: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    code, _, said = run("--at", "0,100", "--within-km", 20000, "--data", data, "--out", page)
    assert code == 0
    away = re.search(r"([\d,.]+ km) from the position given", said)
    assert away
    assert re.search(rf"from the position given.*{away[1]}", page.read_text(), re.DOTALL)
    # What is filled below all else: 0.5 of the colour of rules.
    assert page.read_text().count("opacity: 0.5") > 10


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--id", "3"], "Did you mean 0000003, 0000013, 0000023?"),
        (["--at", "0,100"], "--within-km"),
        (["--at", "somewhere"], "'somewhere' is not LAT,LON"),
        (["--at", "151.2,-33.9"], "Latitude comes first"),
        ([], "one of the arguments --id --at --cube is required"),
        (["--id", "0000003", "--at", "0,0"], "not allowed with"),
        (["--id", "0000003", "-k", "0"], "-k"),
        (["--id", "0000003", "--embeddings", "/no/such.parquet"], "/no/such.parquet does not exist"),
        (["--id", "0000003", "--embeddings", "other"], "There are sar-000000000001"),
        (["--id", "0000003", "--out", "/no/such/page.html"], "/no/such is no folder"),
        (["--cube", "/no/such.npy"], "cannot be read as .npy"),
        (["--cube", "{flat}"], "float32 [3]"),
        (["--cube", "{empty}"], "no data at all"),
        (["--cube", "{cube}"], "the model that made"),
    ],
)
def test_what_is_wrong_is_said_with_exit_code_2(
    run: Run, data: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    arrays = {"flat": np.zeros(3), "empty": np.full((12, 64, 64), np.nan), "cube": np.zeros((12, 64, 64))}
    for name, array in arrays.items():
        np.save(tmp_path / name, array.astype(np.float32))
    filled = [argument.format(**{name: tmp_path / f"{name}.npy" for name in arrays}) for argument in arguments]
    code, out, message = run(*filled, "--data", data)
    assert (code, out) == (2, "")
    assert said in message
    assert "Traceback" not in message


def test_where_there_are_no_embeddings_the_next_command_is_said(run: Run, tmp_path: Path) -> None:
    code, _, said = run("--id", "0", "--data", tmp_path)
    assert code == 2
    assert "sarpipe run SOURCE" in said


def test_damaged_embeddings_are_not_searched(run: Run, tmp_path: Path) -> None:
    path = put(tmp_path, "sar-1", table()) / "embeddings.parquet"
    raw = bytearray(path.read_bytes())
    raw[1000] ^= 1
    path.write_bytes(raw)
    code, _, said = run("--id", "0000003", "--data", tmp_path)
    assert code == 1
    assert "does not match its checksum" in said


def test_a_damaged_smaller_form_beside_its_manifest_is_not_searched(run: Run, tmp_path: Path) -> None:
    embeddings = table()
    form = FORMS["int8"].fit(embeddings.vectors)
    made = commit(
        tmp_path / "int8-1", {}, lambda to: write_quantized(to / "embeddings.int8.parquet", embeddings, form, {"a": 1})
    )
    path = made.path("embeddings.int8.parquet")
    assert run("--id", "0000003", "-k", 1, "--embeddings", path)[0] == 0
    raw = bytearray(path.read_bytes())
    # Of what the metadata say it was made from, which no checksum of a page covers.
    at = raw.rindex(b'"a": 1')
    raw[at + 5] ^= 1
    path.write_bytes(raw)
    code, _, said = run("--id", "0000003", "-k", 1, "--embeddings", path)
    assert code == 1
    assert "does not match its checksum" in said


def test_the_index_of_many_places_is_kept_checked_and_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "EXACT_MOST", 10)
    put(tmp_path, "sar-1", table())
    source = stage.find_source(tmp_path, None)
    said: list[str] = []
    first = stage.open_index(source, tmp_path, said.append)
    (folder,) = (tmp_path / "search").glob("index-*")
    assert said == [f"keeping the index of 40 places in {folder}"]
    expected = find(first, by_id(first, "0000003"), 5, method="binary")
    assert expected.hits[0].id == "0000007"
    written = folder.stat().st_mtime_ns
    again = stage.open_index(source, tmp_path, said.append)
    assert find(again, by_id(again, "0000003"), 5, method="binary") == expected
    assert folder.stat().st_mtime_ns == written
    for name in ("bits.npy", "directions.npy"):
        with (folder / name).open("r+b") as file:
            file.truncate(200)
        remade = stage.open_index(source, tmp_path, said.append)
        assert find(remade, by_id(remade, "0000003"), 5, method="binary") == expected
        open_verified(folder)


def test_an_index_that_cannot_be_kept_is_said_and_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "EXACT_MOST", 10)
    put(tmp_path, "sar-1", table())
    (tmp_path / "search").write_text("a file in its way")
    said: list[str] = []
    index = stage.open_index(stage.find_source(tmp_path, None), tmp_path, said.append)
    assert len(index) == 40
    assert "cannot be kept" in said[-1]


def test_a_search_loads_neither_torch_nor_pandas_where_an_index_is_there() -> None:
    code = "import sys, sarpipe.flows.search\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert set(done.stdout.split()).isdisjoint(
        {"torch", "pandas", "pyarrow", "scipy", "matplotlib", "pydantic", "rich"}
    )


def test_embeddings_at_a_url_are_searched_and_several_must_be_named(
    run: Run, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SARPIPE_CACHE", str(tmp_path / "cache"))
    url = f"{bucket}/output"
    assert run("--id", "0000003", "--data", url)[0] == 2
    for name in ("sar-1", "sar-2"):
        ensure(
            mount(url) / "embeddings" / name,
            {},
            lambda to: write_geoparquet(to / "embeddings.parquet", table(), {"inputs": {}}),
        )
        shutil.rmtree(tmp_path / "cache")
        code, out, said = run("--id", "0000003", "--data", url, "-k", 1)
        if name == "sar-1":
            assert (code, out.splitlines()[1].split()[1]) == (0, "0000007")
        else:
            assert code == 2
            assert "holds several embeddings: sar-" in said
    assert "0000007" in run("--id", "0000003", "--data", url, "--embeddings", "sar-2")[1]

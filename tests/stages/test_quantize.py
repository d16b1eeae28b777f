import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sarpipe.embeddings import Embeddings, read_geoparquet, write_geoparquet
from sarpipe.embeddings.forms import FORMS
from sarpipe.errors import DamagedError, DataError, UsageError
from sarpipe.flows.cli import main
from sarpipe.settings import Settings, resolve
from sarpipe.stages.quantize import dequantize, make_quantized, plan_quantize
from sarpipe.storage import Artefact, commit


def table(count: int) -> Embeddings:
    rng = np.random.default_rng(0)
    vectors = (rng.standard_normal((count, 20)) @ rng.standard_normal((20, 1024))).astype(np.float32)
    ids = tuple(f"p{i:04d}" for i in range(count))
    index = pd.DataFrame({"id": ids, "store": "s", "latitude": 1.0, "longitude": np.linspace(0, 9, count), "crs": 0})
    index[["west", "south", "east", "north"]] = np.nan
    index["dates"] = [[pd.Timestamp("2020-01-02", tz="UTC")]] * count
    index["products"], index["orbit_passes"], index["relative_orbits"] = [["a"]] * count, [["x"]] * count, [[1]] * count
    index["valid_fraction"], index["flags"] = 1.0, [["single_date"]] * count
    return Embeddings(ids, vectors, index)


def made(folder: Path, count: int) -> Artefact:
    return commit(
        folder, {"stage": "embed"}, lambda where: write_geoparquet(where / "embeddings.parquet", table(count), {"a": 1})
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return resolve(data=tmp_path / "data")


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_made_once_and_comes_back(settings: Settings, tmp_path: Path, form: str) -> None:
    embeddings = made(tmp_path / "embeddings", 140)
    first = make_quantized(plan_quantize(settings, embeddings, form), embeddings)
    again = make_quantized(plan_quantize(settings, embeddings, form), embeddings)
    forced = make_quantized(plan_quantize(settings, embeddings, form, force=True), embeddings)
    assert [one["computed"] for one in (first, again, forced)] == [True, False, True]
    assert first["digest"] == again["digest"] == forced["digest"]
    assert (first["places"], first["bytes_a_place"]) == (140, FORMS[form].fit(table(140).vectors).bytes_a_place)
    out = tmp_path / "out" / "decoded.parquet"
    out.parent.mkdir()
    (out.parent / ".tmp-decoded.parquet-1-01234567").write_bytes(b"of a process that was killed")
    assert dequantize(Path(first["folder"]) / first["file"], out) == 140
    decoded, original = read_geoparquet(out), read_geoparquet(embeddings.path("embeddings.parquet"))
    assert decoded.ids == original.ids
    assert np.square(decoded.vectors - original.vectors).sum() < 0.1 * np.square(original.vectors).sum()
    assert [path.name for path in out.parent.iterdir()] == ["decoded.parquet"]


def test_too_few_places_leave_nothing(settings: Settings, tmp_path: Path) -> None:
    embeddings = made(tmp_path / "embeddings", 20)
    step = plan_quantize(settings, embeddings, "pq")
    with pytest.raises(DataError, match="20 places are too few"):
        make_quantized(step, embeddings)
    assert step.folder is not None
    assert not step.folder.exists()


def test_what_is_there_is_not_written_over(settings: Settings, tmp_path: Path) -> None:
    embeddings = made(tmp_path / "embeddings", 3)
    receipt = make_quantized(plan_quantize(settings, embeddings, "int8"), embeddings)
    file = Path(receipt["folder"]) / receipt["file"]
    before = file.read_bytes()
    with pytest.raises(UsageError, match="is there already"):
        dequantize(file, file)
    assert file.read_bytes() == before
    with pytest.raises(UsageError, match="is not there"):
        dequantize(tmp_path / "none.parquet", tmp_path / "out.parquet")
    with pytest.raises(DataError, match="no smaller form"):
        dequantize(embeddings.path("embeddings.parquet"), tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


def test_a_damaged_form_beside_its_manifest_is_not_decoded(settings: Settings, tmp_path: Path) -> None:
    embeddings = made(tmp_path / "embeddings", 3)
    receipt = make_quantized(plan_quantize(settings, embeddings, "int8"), embeddings)
    file = Path(receipt["folder"]) / receipt["file"]
    raw = bytearray(file.read_bytes())
    raw[raw.rindex(b'"a": 1') + 5] ^= 1
    file.write_bytes(raw)
    with pytest.raises(DamagedError, match="does not match its checksum"):
        dequantize(file, tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


def test_dequantize_as_a_command(settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    embeddings = made(tmp_path / "embeddings", 3)
    receipt = make_quantized(plan_quantize(settings, embeddings, "float16"), embeddings)
    file, out = Path(receipt["folder"]) / receipt["file"], tmp_path / "out.parquet"
    assert main(["dequantize", str(file), str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["places"] == 3
    assert main(["dequantize", str(file), str(out)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert main(["dequantize", "s3://bucket/file", str(out)]) == 2
    assert "no file of this machine" in capsys.readouterr().err


def test_quantize_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quantize", "int4", "--data", str(tmp_path)]) == 2
    assert "int4" in capsys.readouterr().err
    assert main(["quantize", "int8", "--data", str(tmp_path)]) == 2
    assert "Run 'sarpipe run SOURCE'" in capsys.readouterr().err

import csv
import hashlib
import io
import json
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from sarpipe.codes import Code, helps
from sarpipe.errors import DamagedError, UsageError
from sarpipe.flows.cli import main
from sarpipe.quarantine import STEPS, read_quarantine, with_help
from sarpipe.simulate.place import SimulatedPlace
from sarpipe.stages import straight
from sarpipe.stages.cube_set import current_set
from sarpipe.stages.quarantine import as_csv, listed_quarantine, look, quarantine_path
from sarpipe.stages.verify import verify
from sarpipe.storage import commit

CUT, WHOLE = (f"ssl4eos12_train_seasonal_data_00000{number}" for number in (1, 2))


def quiet(*_: Any) -> None:
    pass


@pytest.fixture
def run(
    fresh: Callable[[], Any],
    simulated_places: list[SimulatedPlace],
    write_place: Callable[..., bytes],
    write_tar: Callable[[Path, Mapping[str, bytes]], Path],
) -> Any:
    """A run over one cause of each step: a cut store, a damaged place in a tar, an empty place, an id that is twice."""
    run = fresh()
    for truth in run.stores.glob("*.truth.parquet"):
        truth.unlink()
    cut = run.stores / f"{CUT}.zarr.zip"
    cut.write_bytes(cut.read_bytes()[:-5000])
    shutil.copy(run.stores / f"{WHOLE}.zarr.zip", run.stores / "zz again.zarr.zip")
    empty = simulated_places[2].db * float("nan")
    members = {
        "bad.zarr.zip": write_place(simulated_places[0])[:-9],
        "good.zarr.zip": write_place(simulated_places[1], sample=None),
        "empty.zarr.zip": write_place(simulated_places[2], sample=None, bands=(["time", "band", "y", "x"], empty)),
    }
    write_tar(run.stores / "shard.tar", members)
    return run


def test_each_entry_says_what_why_where_at_which_step_and_what_to_type(run: Any) -> None:
    made = straight.preprocess(run.settings(), str(run.stores), quiet)
    listed = listed_quarantine(run.settings())
    counts = made["cube_set"]
    assert (counts["places_in"], counts["places_kept"], counts["places_quarantined"]) == (13, 6, 7)
    again = list(listed["id"][listed["step"] == "collect"])
    assert sorted(zip(listed["id"], listed["store"], listed["step"], strict=True)) == sorted(
        [
            ("", CUT, "open"),
            ("bad", "shard", "read"),
            ("empty", "shard", "cube"),
            *((place, "zz again", "collect") for place in again),
        ]
    )
    assert len(again) == 5
    by_step = listed.drop_duplicates("step").set_index("step")
    assert set(by_step.index) == set(STEPS)
    for step, (code, said) in {
        "open": (Code.BROKEN_ARCHIVE, "not a whole zip"),
        "read": (Code.BROKEN_ARCHIVE, "shard/bad.zarr.zip is not a whole zip"),
        "cube": (Code.NO_DATA, "0.0% of the pixels hold data"),
        "collect": (Code.DUPLICATE_ID, f"store {WHOLE} has a place of this id too"),
    }.items():
        assert by_step.loc[step, "code"] == code
        assert by_step.loc[step, "helps"] == code.helps
        assert said in by_step.loc[step, "reason"]
    assert by_step.loc["open", "path"] == str(run.stores / f"{CUT}.zarr.zip")
    assert by_step.loc["read", "path"] == str(run.stores / "shard.tar")
    # The set's own list, on which keys depend, does not say where the stores lie.
    entries = pd.read_parquet(current_set(run.settings()).path("quarantine.parquet"))
    pd.testing.assert_frame_equal(entries, listed[["id", "store", "step", "code", "reason"]])
    assert counts["codes"] == {"broken-archive": 2, "duplicate-id": 5, "no-data": 1}


def test_the_commands_that_it_names_work(run: Any, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    settings = run.settings(recipe__min_valid=0.25)
    straight.preprocess(settings, str(run.stores), quiet)
    assert main(["quarantine", "--data", str(run.data), "--set", "recipe.min_valid=0.25"]) == 0
    said = capsys.readouterr().err
    listed = listed_quarantine(settings)
    for _, row in listed.iterrows():
        assert all(row[name] in said for name in ("id", "store", "code", "reason", "path", "helps", "look", "retry"))
    now = {
        "open": f"{run.stores}/{CUT}.zarr.zip is not a whole zip",
        "read": "shard/bad.zarr.zip is not a whole zip",
        "cube": "VV 0.0% finite: no number",
        "collect": "place 1 of 5 of zz again",
    }
    for step, row in listed.drop_duplicates("step").set_index("step").iterrows():
        assert main(shlex.split(row["look"])[1:]) == 0
        said = capsys.readouterr().err
        assert now[str(step)] in said
        assert (step in ("open", "read")) is ("[broken-archive]" in said.rpartition("now:")[2])
    shutil.copy(run.stores / f"{WHOLE}.zarr.zip", run.stores / f"{CUT}.zarr.zip")
    assert look(str(run.stores / f"{CUT}.zarr.zip"), CUT, "") == "all of its 5 places can be read now"
    retry = [*shlex.split(listed["retry"][0])[1:], "--dask", run.scheduler, "--json"]
    assert main(retry) == 3
    units = json.loads(capsys.readouterr().out)["units"]
    assert units == {"total": 4, "computed": 1, "reused": 3, "refused": 0}
    assert set(listed_quarantine(settings)["step"]) == {"read", "cube", "collect"}


def test_a_place_that_is_not_in_quarantine_or_a_list_that_is_not_there_is_said(
    fresh: Callable[[], Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = fresh()
    straight.preprocess(run.settings(), str(run.stores), quiet)
    assert main(["quarantine", "--data", str(tmp_path / "none")]) == 2
    assert "there is no list" in capsys.readouterr().err
    assert main(["quarantine", "--data", str(run.data), "--id", "0000001", "--json"]) == 2
    assert "not in quarantine" in json.loads(capsys.readouterr().out)["error"]
    assert main(["quarantine", "--data", str(run.data), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["quarantine"] == []
    path = quarantine_path(run.settings()).with_suffix(".parquet")
    path.write_bytes(b"PAR1")
    with pytest.raises(DamagedError, match="is damaged"):
        listed_quarantine(run.settings())
    with pytest.raises(UsageError):
        look(str(tmp_path / "gone.zarr.zip"), "gone", "")


def test_no_flipped_byte_of_the_list_is_believed(run: Any, flipped: Callable[[Path], Iterator[None]]) -> None:
    straight.preprocess(run.settings(), str(run.stores), quiet)
    path = quarantine_path(run.settings()).with_suffix(".parquet")
    expected = listed_quarantine(run.settings())
    noticed = 0
    for _ in flipped(path):
        try:
            pd.testing.assert_frame_equal(listed_quarantine(run.settings()), expected)
        except DamagedError:
            noticed += 1
    assert noticed > 50


def test_a_list_of_an_earlier_version_can_be_read_and_is_not_called_damaged(run: Any) -> None:
    straight.preprocess(run.settings(), str(run.stores), quiet)
    path, listed = quarantine_path(run.settings()).with_suffix(".parquet"), listed_quarantine(run.settings())
    earlier = listed.drop(columns="code")
    schema = pa.schema([(name, pa.string()) for name in earlier.columns])
    table = pa.Table.from_pandas(earlier, schema, preserve_index=False)
    checksum = hashlib.sha256(as_csv(earlier)).hexdigest()
    pq.write_table(table.replace_schema_metadata({"sarpipe.checksum": checksum}), path)
    path.with_suffix(".csv").write_bytes(as_csv(earlier))
    found = listed_quarantine(run.settings())
    assert list(found.columns) == list(listed.columns)
    assert set(found["code"]) == {""}
    pd.testing.assert_frame_equal(found.drop(columns="code"), earlier)
    assert not verify(run.data, quiet).notes
    straight.preprocess(run.settings(), str(run.stores), quiet)
    pd.testing.assert_frame_equal(listed_quarantine(run.settings()), listed)


def test_the_quarantine_of_a_set_of_an_earlier_version_can_be_read(tmp_path: Path) -> None:
    rows = pd.DataFrame([{"id": "a", "store": "s", "step": "cube", "reason": "no data"}])
    made = commit(tmp_path / "set-0123456789ab", {}, lambda folder: rows.to_parquet(folder / "quarantine.parquet"))
    found = with_help(read_quarantine(made))
    pd.testing.assert_frame_equal(found[rows.columns], rows)
    assert (found["code"][0], found["helps"][0]) == ("", helps(""))


NAMES = ["=cmd()", "+1", "-rf", "@x", "a\nb", "a,b", "é", "x" * 150, "[red]", "$(touch x)", "{x.__class__}", "'", "set"]


def test_stores_of_any_name_are_used_or_refused_and_every_reader_of_the_list_agrees(fresh: Callable[[], Any]) -> None:
    run = fresh()
    store = (run.stores / f"{WHOLE}.zarr.zip").read_bytes()[:-5000]
    for name in NAMES:
        (run.stores / f"{name}.zarr.zip").write_bytes(store)
    made = straight.preprocess(run.settings(), str(run.stores), quiet)
    assert made["cube_set"]["places_kept"] == 10
    listed = listed_quarantine(run.settings())
    assert len(listed) == len(NAMES)
    assert set(listed["code"]) == {"broken-archive", "bad-id"}
    assert set(listed["store"][listed["code"] == "broken-archive"]) == {"a,b", "é"}
    # Of the names only these two can be names of folders and cells; their stores are refused for what they are.
    usable = listed["reason"].str.contains("not a whole zip")
    assert sorted(listed["store"][usable]) == ["a,b", "é"]
    assert listed["reason"][~usable].str.contains("cannot name what is made of it").all()
    path = quarantine_path(run.settings())
    text = path.read_text(encoding="utf-8")
    assert [list(row.values()) for row in csv.DictReader(io.StringIO(text, newline=""))] == listed.to_numpy().tolist()
    pd.testing.assert_frame_equal(pd.read_csv(path, dtype=str, keep_default_na=False), listed)
    options = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(listed.columns, "string"))
    parsed = pyarrow.csv.ParseOptions(newlines_in_values=True)
    assert pyarrow.csv.read_csv(path, parse_options=parsed, convert_options=options).to_pandas().equals(listed)
    assert pq.read_table(path.with_suffix(".parquet")).to_pandas().equals(listed)
    # No cell is a formula to a spreadsheet.
    assert not [cell for cell in listed.to_numpy().ravel() if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]

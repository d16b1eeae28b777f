import errno
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sarpipe.embeddings.forms import FORMS
from sarpipe.errors import UsageError
from sarpipe.flows.cli import main
from sarpipe.stages import straight
from sarpipe.stages.inventory import KINDS, artefacts
from sarpipe.stages.verify import Verified, verify
from sarpipe.storage import commit, inspect, mount, remote_path
from sarpipe.storage.key import file_sha256
from sarpipe.storage.lock import exclusive, in_use


def looked(data: Path) -> Verified:
    return verify(data, lambda *_: None)


def everything(data: Path) -> dict[str, tuple[int, int, int]]:
    """All that there is, folders and locks too, with size, inode and time of the last change."""
    found = {str(path.relative_to(data)): path.lstat() for path in [data, *data.rglob("*")]}
    return {name: (status.st_size, status.st_ino, status.st_mtime_ns) for name, status in found.items()}


def test_a_finished_run_is_whole_and_verifying_changes_nothing(rerun: Any) -> None:
    before = everything(rerun.data)
    found = looked(rerun.data)
    assert everything(rerun.data) == before
    assert found.whole
    assert found.leftovers == []
    kinds = sorted(look.kind.name for look in found.looks)
    assert kinds == ["embeddings", "evaluation", "model", "report", "set", "unit", "unit"]
    ours = [path for path in rerun.data.rglob("*") if path.is_file() and path.parent.parent != rerun.data]
    in_artefacts = [path for path in ours if not path.name.startswith(".") and path.name != "current.json"]
    assert found.files == len(in_artefacts)


def test_every_file_that_is_damaged_is_named_with_what_makes_it_anew(rerun: Any) -> None:
    again = {
        "cubes": "sarpipe preprocess SOURCE",
        "models": "sarpipe train",
        "embeddings": "sarpipe embed",
        "reports": "sarpipe report",
    }
    for folder, kind in artefacts(rerun.data):
        for number, path in enumerate(path for path in sorted(folder.rglob("*")) if path.is_file()):
            content = path.read_bytes()
            if number % 3 == 0:
                path.write_bytes(content[:-2])
            elif number % 3 == 1:
                path.write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
            else:
                path.unlink()
            (damaged,) = looked(rerun.data).damaged
            assert damaged.folder == folder
            assert str(folder if path.name == "manifest.json" else path) in damaged.wrong[0]
            if kind.name != "evaluation":
                assert damaged.kind.again == again[folder.relative_to(rerun.data).parts[0]]
            path.write_bytes(content)
    assert looked(rerun.data).whole


def test_all_damaged_files_of_an_artefact_are_named(rerun: Any) -> None:
    (model,) = rerun.data.glob("models/sar-*")
    (model / "losses.parquet").unlink()
    (model / "encoder.json").write_bytes(b"{}")
    (damaged,) = looked(rerun.data).damaged
    assert [Path(line.split()[0]).name for line in damaged.wrong] == ["losses.parquet", "encoder.json"]


def test_what_others_put_beside_our_files_is_no_damage_and_within_a_folder_of_ours_it_is(rerun: Any) -> None:
    (embeddings,) = rerun.data.glob("embeddings/sar-*")
    (embeddings / "embeddings.parquet.aux.xml").write_bytes(b"of QGIS")
    (embeddings / "mine").mkdir()
    (embeddings / "mine" / "notes.txt").write_bytes(b"")
    found = looked(rerun.data)
    assert found.whole
    (beside,) = (look.beside for look in found.looks if look.beside)
    assert beside == ("embeddings.parquet.aux.xml", "mine/notes.txt")
    (embeddings / "embeddings.zarr" / "extra").write_bytes(b"")
    (damaged,) = looked(rerun.data).damaged
    assert "embeddings.zarr/extra is not in the manifest" in damaged.wrong[0]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE, errno.EIO])
def test_what_cannot_be_read_is_not_said_to_be_damaged(
    rerun: Any, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def read(path: Path) -> str:
        if path.name == "losses.parquet":
            raise OSError(number, os.strerror(number), str(path))
        return file_sha256(path)

    monkeypatch.setattr("sarpipe.storage.artefact.known_sha256", read)
    found = looked(rerun.data)
    assert found.damaged == []
    (unreadable,) = found.unreadable
    assert unreadable.wrong[0].endswith(f"losses.parquet cannot be read: {os.strerror(number)}")
    assert not found.whole


def test_an_artefact_in_the_place_of_another_is_damage(rerun: Any) -> None:
    (report,) = rerun.data.glob("reports/sar-*")
    report.rename(report.with_name("sar-0123456789ab"))
    (damaged,) = looked(rerun.data).damaged
    assert "has the key of something else" in damaged.wrong[0]


@pytest.mark.parametrize("content", [b"", b"{}", b"[", b'{"set": "set-x", "checksum": "0"}'])
def test_a_damaged_note_is_named(rerun: Any, content: bytes) -> None:
    (note,) = rerun.data.glob("cubes/*/current.json")
    note.write_bytes(content)
    (rerun.data / "sources").mkdir()
    (rerun.data / "sources" / "store.json").write_bytes(content)
    (listed,) = rerun.data.glob("quarantine/*.csv")
    listed.write_bytes(content)
    (energy,) = rerun.data.glob("energy/*.json")
    energy.write_bytes(content)
    found = looked(rerun.data)
    stores = rerun.data / "sources" / "store.json"
    assert [path for path, _ in found.notes] == [note, listed.with_suffix(".parquet"), energy, stores]
    assert not found.whole


def test_a_current_set_that_is_gone_is_said(rerun: Any) -> None:
    (cube_set,) = rerun.data.glob("cubes/*/set-*")
    shutil.rmtree(cube_set)
    ((note, hint),) = looked(rerun.data).notes
    assert note.name == "current.json"
    assert "sarpipe preprocess SOURCE" in hint


def as_parquet(run: Any) -> Path:
    """Make the Parquet files too; their list."""
    straight.preprocess(run.settings(format="parquet"), str(run.stores), lambda *_: None)
    (listed,) = run.data.glob("cubes/*/parquet/files.txt")
    return listed


def put_other(unit: Path) -> None:
    """Other bytes at the same key, as where the store was mended."""
    commit(unit, inspect(unit).meta, lambda folder: (folder / "cubes.npy").write_bytes(b"other") and None)


def test_a_set_whose_unit_is_gone_or_another_is_damage(rerun: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (cube_set,) = rerun.data.glob("cubes/*/set-*")
    unit, other = sorted(rerun.data.glob("cubes/*/ssl4eos12*"))
    shutil.rmtree(unit)
    put_other(other)
    found = looked(rerun.data)
    assert found.damaged == []
    assert [path for path, _ in found.notes] == [cube_set, cube_set]
    assert [why.split(":")[0] for _, why in found.notes] == [
        f"unit {unit.name} is gone",
        f"unit {other.name} is not the one that the set was made from",
    ]
    assert main(["verify", "--data", str(rerun.data)]) == 1
    assert "'sarpipe preprocess SOURCE' makes it anew" in capsys.readouterr().err
    straight.preprocess(rerun.settings(), str(rerun.stores), lambda *_: None, force=True)
    assert looked(rerun.data).whole


def test_a_unit_that_a_kill_left_beside_its_place_is_not_gone(rerun: Any) -> None:
    unit = next(iter(rerun.data.glob("cubes/*/ssl4eos12*")))
    unit.rename(unit.with_name(f".old-{unit.name}"))
    found = looked(rerun.data)
    assert found.whole
    assert [left.instead for left in found.leftovers] == [unit]


def test_a_set_of_before_whose_unit_was_made_anew_of_other_bytes_is_named_and_no_damage(rerun: Any) -> None:
    first, second = sorted(rerun.stores.glob("*.zip"))
    straight.preprocess(rerun.settings(), str(second), lambda *_: None)
    put_other(next(iter(rerun.data.glob(f"cubes/*/{first.name.removesuffix('.zarr.zip')}-*"))))
    found = looked(rerun.data)
    assert found.whole
    assert any("a set of before" in remark and first.name[:20] in remark for remark in found.remarks)


def test_while_a_run_is_under_way_units_are_not_compared_with_sets(rerun: Any) -> None:
    shutil.rmtree(next(iter(rerun.data.glob("cubes/*/ssl4eos12*"))))
    with in_use(rerun.data):
        found = looked(rerun.data)
    assert found.in_use
    assert found.whole
    assert not looked(rerun.data).whole


def test_what_was_made_from_something_that_is_gone_is_named_and_whole(
    rerun: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert looked(rerun.data).remarks == []
    (model,) = rerun.data.glob("models/sar-*")
    (embeddings,) = rerun.data.glob("embeddings/sar-*")
    digest = inspect(model).digest
    shutil.rmtree(model)
    assert main(["verify", "--data", str(rerun.data), "--json"]) == 0
    said, screen = capsys.readouterr()
    (remark,) = json.loads(said)["remarks"]
    assert remark in screen
    assert f"the model {digest[:12]} that embeddings/{embeddings.name} and 2 more were made from" in remark
    assert "'sarpipe train' makes it anew" in remark
    # What a manifest says that cannot be read is not known to be gone.
    (embeddings / "manifest.json").write_bytes(b"{}")
    assert looked(rerun.data).remarks == []


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut after a line": lambda text: text[: text.index(b"\n") + 1],
    "cut in a line": lambda text: text[:-5],
    "without its last byte": lambda text: text[:-1],
    "a digit flipped": lambda text: text.replace(b"/", b"0/", 1)[1:],
    "another file": lambda text: text.replace(b"cubes.parquet", b"cubes.parquex", 1),
    "a line twice": lambda text: text + text,
    "turned": lambda text: b"".join(reversed(text.splitlines(keepends=True))),
    "empty": lambda text: b"",
    "no text": lambda text: b"\xff" + text,
}


def test_a_list_of_parquet_files_that_is_damaged_is_named(rerun: Any) -> None:
    listed = as_parquet(rerun)
    content = listed.read_bytes()
    assert looked(rerun.data).whole
    for how, damage in DAMAGE.items():
        assert damage(content) != content
        listed.write_bytes(damage(content))
        notes = looked(rerun.data).notes
        assert [path for path, _ in notes] == [listed], how
        assert "'sarpipe preprocess SOURCE --format parquet' makes it anew" in notes[0][1]
    listed.write_bytes(content)
    # A later run of other stores, without Parquet, leaves the list as it was.
    straight.preprocess(rerun.settings(), str(sorted(rerun.stores.glob("*.zip"))[0]), lambda *_: None)
    assert looked(rerun.data).whole
    gone = sorted(listed.parent.glob("ssl4eos12*"))[1]
    shutil.rmtree(gone)
    ((path, why),) = looked(rerun.data).notes
    assert (path, f"it names {gone.name}, which is gone" in why) == (listed, True)


def test_a_csv_of_the_quarantine_is_no_list_without_its_parquet(rerun: Any) -> None:
    (listed,) = rerun.data.glob("quarantine/*.parquet")
    listed.with_name("mine.csv").write_bytes(b"of somebody")
    listed.with_suffix(".csv").write_bytes(b"id,store\n")
    listed.unlink()
    assert [path for path, _ in looked(rerun.data).notes] == [listed]
    straight.preprocess(rerun.settings(), str(rerun.stores), lambda *_: None)
    assert looked(rerun.data).whole


def test_leftovers_are_named_and_are_no_damage_and_what_is_under_way_is_neither(rerun: Any) -> None:
    (model,) = rerun.data.glob("models/sar-*")
    left = [model.with_name(f".tmp-{model.name}"), rerun.data / "cubes" / ".tmp-x"]
    for path in left:
        path.mkdir()
    # Of a writer that was killed; and of one that lives, which holds a lock on it.
    (rerun.data / "energy" / ".tmp-one.json-1-01234567").write_bytes(b"half")
    found = looked(rerun.data)
    assert found.whole
    assert [one.path.name for one in found.leftovers] == [left[0].name, ".tmp-one.json-1-01234567"]
    with exclusive(model):
        assert [one.path.name for one in looked(rerun.data).leftovers] == [".tmp-one.json-1-01234567"]
        (model / "encoder.json").unlink()
        found = looked(rerun.data)
        assert found.whole
        assert [look.folder for look in found.looks if look.state == "under way"] == [model]
    assert not looked(rerun.data).whole


def test_what_is_not_ours_is_left_out(rerun: Any) -> None:
    (rerun.data / "models" / "mine").mkdir()
    (rerun.data / "notes-0123456789ab").mkdir()
    (rerun.data / "demo" / "models" / "sar-0123456789ab").mkdir(parents=True)
    assert looked(rerun.data).whole


def test_a_folder_that_is_not_there_is_not_said_to_be_whole(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no folder"):
        looked(tmp_path / "none")


def test_every_form_has_a_name_that_is_known() -> None:
    (form,) = (kind for kind in KINDS if kind.name == "smaller form")
    assert set(form.label.split("|")) == set(FORMS)


def test_output_at_a_url_is_read_from_there_and_not_from_the_cache(
    finished: Path, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SARPIPE_CACHE", str(tmp_path / "cache"))
    data = mount(f"{bucket}/output")
    there = remote_path(f"{bucket}/output", writable=True)
    for part in ("models", "cubes"):
        for path in sorted((finished / part).rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                (there / path.relative_to(finished).as_posix()).put(path)
    found = looked(data)
    assert found.whole
    assert len(found.looks) == 4
    assert not data.exists()
    (model,) = (finished / "models").glob("sar-*")
    content = (model / "losses.parquet").read_bytes()
    (there / f"models/{model.name}/losses.parquet").write(content[:-1] + bytes([content[-1] ^ 1]))
    (damaged,) = looked(data).damaged
    assert f"{bucket}/output/models/{model.name}/losses.parquet does not match" in damaged.wrong[0]
    (there / f"models/{model.name}/manifest.json").remove()
    (damaged,) = looked(data).damaged
    assert "has no manifest" in damaged.wrong[0]
    assert not data.exists()
    assert os.listdir(tmp_path) == []


def test_a_list_that_is_being_written_while_it_is_looked_at_is_no_damage(
    rerun: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (csv,) = rerun.data.glob("quarantine/*.csv")
    old, new = csv.read_bytes(), csv.read_bytes() + b"\n"
    csv.write_bytes(new)
    monkeypatch.setattr(time, "sleep", lambda seconds: csv.write_bytes(old) and None)
    assert looked(rerun.data).whole
    monkeypatch.undo()
    csv.write_bytes(new)
    assert not looked(rerun.data).whole

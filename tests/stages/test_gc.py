import errno
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from crash_world import litter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sarpipe.errors import UsageError
from sarpipe.runs.log import run_log
from sarpipe.settings import resolve
from sarpipe.stages import straight
from sarpipe.stages.gc import Garbage, _codes, collect, find_garbage, put_back
from sarpipe.stages.inventory import artefacts
from sarpipe.stages.places import cubes_digest
from sarpipe.stages.verify import verify
from sarpipe.storage import Artefact, commit, digest_json, ensure, mount
from sarpipe.storage.durable import write_bytes
from sarpipe.storage.key import file_sha256
from sarpipe.storage.lock import exclusive, in_use, unused


def garbage(data: Path) -> list[Garbage]:
    return find_garbage(data, lambda *_: None)[0]


def files(data: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(data)): path.read_bytes()
        for path in sorted(data.rglob("*"))
        if path.is_file() and not path.name.startswith(".lock-")
    }


def test_a_finished_run_holds_no_garbage(rerun: Any) -> None:
    assert garbage(rerun.data) == []


def test_what_is_of_no_use_goes_and_a_rerun_makes_nothing_anew(rerun: Any) -> None:
    whole = files(rerun.data)
    litter(rerun.data)
    dirty = files(rerun.data)

    found = garbage(rerun.data)

    assert files(rerun.data) == dirty
    (model,) = (path for path in (rerun.data / "models").glob("sar-*") if (path / "encoder.json").exists())
    assert {(one.path.parent.name[:4], one.path.name): one.why.split(":")[0] for one in found} == {
        ("repo", ".tmp-sar-0123456789ab"): "left by a run that was killed",
        ("repo", ".old-sar-0123456789ab"): "left by a run that was killed",
        ("sar-", ".tmp-current.json-12-0123abcd"): "left by a run that was killed",
        ("mode", f"{model.name}.checkpoints"): "checkpoints of a training whose model is there",
        (
            "repo",
            "evaluation-0123456789ab",
        ): "made by another version of the code, and nothing that stays was made from it",
        ("sar-", "some_store-0123456789ab"): (
            "made by another version of the code, and nothing that stays was made from it"
        ),
    }
    assert sum(one.bytes for one in found) == sum(map(len, dirty.values())) - sum(map(len, whole.values()))
    # Two leftovers of one artefact go together.
    assert len(list(collect(found))) == len(found) - 1
    assert files(rerun.data) == whole
    summary = rerun()
    assert summary["units"]["computed"] == 0
    assert set(summary["stages"].values()) == {"reused"}


def test_what_somebody_holds_stays(rerun: Any) -> None:
    litter(rerun.data)
    found = garbage(rerun.data)
    with (
        exclusive(rerun.data / "reports" / "evaluation-0123456789ab"),
        exclusive(rerun.data / "reports" / "sar-0123456789ab"),
    ):
        gone = {one.path for one in collect(found)}
        assert (rerun.data / "reports" / "evaluation-0123456789ab").is_dir()
        assert (rerun.data / "reports" / ".tmp-sar-0123456789ab").is_dir()
    assert len(gone) == 3
    assert len(list(collect(garbage(rerun.data)))) == 2


def assert_in_use(data: Path) -> None:
    """As another process sees it."""
    with (data / ".lock-use").open() as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_first_run_into_a_folder_holds_it_as_soon_as_it_is_there(fresh: Callable[[], Any]) -> None:
    run = fresh()
    said = []

    def on_progress(stage: str, done: int, total: int, note: str) -> None:
        said.append(note)
        if len(said) == 1:
            # All that is done so far is a plan.
            assert not run.data.exists()
        else:
            assert_in_use(run.data)

    straight.preprocess(run.settings(), str(run.stores), on_progress)
    assert len(said) == 3
    with unused(run.data):
        pass


def test_a_new_folder_is_in_use_before_the_first_artefact_is_made_and_is_not_made_to_be_held(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with in_use(data):
        assert not data.exists()
        ensure(data / "models" / "sar-0123456789ab", {}, lambda folder: assert_in_use(data))
    with unused(data):
        pass
    with in_use(tmp_path / "other"):
        pass
    assert not (tmp_path / "other").exists()


def test_what_was_made_anew_since_it_was_found_stays(rerun: Any) -> None:
    litter(rerun.data)
    found = garbage(rerun.data)
    old = rerun.data / "reports" / "evaluation-0123456789ab"
    meta = {"stage": "evaluate", "key": "0123456789ab", "inputs": {}, "code": "old"}
    commit(old, meta, lambda folder: (folder / "a.bin").write_bytes(b"anew"))
    assert old not in {one.path for one in collect(found)}
    assert (old / "a.bin").read_bytes() == b"anew"


def test_what_is_damaged_or_cannot_be_read_stays_and_is_named(rerun: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (model,) = rerun.data.glob("models/sar-*")
    (embeddings,) = rerun.data.glob("embeddings/sar-*")
    (model / "losses.parquet").write_bytes(b"other")
    failing(embeddings / "embeddings.csv", OSError(errno.EIO, "Input/output error"), monkeypatch)
    before = files(rerun.data)
    found, stays = find_garbage(rerun.data, lambda *_: None)
    assert found == []
    assert {look.folder: look.state for look in stays} == {model: "damaged", embeddings: "unreadable"}
    assert files(rerun.data) == before


def test_nothing_old_goes_as_long_as_something_cannot_be_read(rerun: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have been made from what is old."""
    litter(rerun.data)
    (embeddings,) = rerun.data.glob("embeddings/sar-*")
    failing(embeddings / "embeddings.csv", PermissionError(errno.EACCES, "Permission denied"), monkeypatch)
    assert not any("another version" in one.why for one in garbage(rerun.data))


def test_what_somebody_has_put_beside_our_files_keeps_them(rerun: Any) -> None:
    litter(rerun.data)
    (rerun.data / "reports" / "evaluation-0123456789ab" / "notes.txt").write_text("the good one")
    list(collect(garbage(rerun.data)))
    assert (rerun.data / "reports" / "evaluation-0123456789ab" / "notes.txt").exists()
    assert not list(rerun.data.glob("cubes/sar-*/some_store-*"))


def test_what_people_are_told_to_read_stays_with_its_set(rerun: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Parquet files that files.txt names, also where the current set is another and all is of another version."""
    straight.preprocess(rerun.settings(format="parquet"), str(rerun.stores), lambda *_: None)
    first, second = sorted(rerun.stores.glob("*.zip"))
    straight.preprocess(rerun.settings(), str(first), lambda *_: None)
    for name in ("embeddings", "reports", "models"):
        shutil.rmtree(rerun.data / name)
    monkeypatch.setattr("sarpipe.stages.gc._codes", lambda: dict.fromkeys(_codes(), "another"))
    (listed,) = rerun.data.glob("cubes/*/parquet/files.txt")
    content = listed.read_bytes()
    for damaged in (content[:-3], content):
        listed.write_bytes(damaged)
        assert garbage(rerun.data) == []
    assert verify(rerun.data, lambda *_: None).whole
    listed.unlink()
    gone = [one.path for one in collect(garbage(rerun.data))]
    # The set goes before its unit, so that none is left that names what is gone.
    name = second.name.removesuffix(".zarr.zip")
    assert [path.name[:-13] for path in gone if path.parent.name != "parquet"] == ["set", name]
    assert len(gone) == 4
    assert verify(rerun.data, lambda *_: None).whole


def test_what_somebody_has_put_beside_a_set_keeps_its_units(rerun: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (cube_set,) = rerun.data.glob("cubes/*/set-*")
    (cube_set / "notes.txt").write_text("the good one")
    cube_set.with_name("current.json").unlink()
    for name in ("embeddings", "reports", "models"):
        shutil.rmtree(rerun.data / name)
    monkeypatch.setattr("sarpipe.stages.gc._codes", lambda: dict.fromkeys(_codes(), "another"))
    assert garbage(rerun.data) == []
    (cube_set / "notes.txt").unlink()
    assert len(garbage(rerun.data)) == 3


def failing(path: Path, error: OSError, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that gives no answer for one file, or a user who may not read it: root may read all."""

    def read(file: Path) -> str:
        if file == path:
            raise error
        return file_sha256(file)

    monkeypatch.setattr("sarpipe.storage.artefact.known_sha256", read)


def test_a_file_that_is_being_written_stays(tmp_path: Path) -> None:
    (tmp_path / "energy").mkdir()
    path = tmp_path / "energy" / ".tmp-one.json-1-01234567"
    path.write_bytes(b"half")
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert garbage(tmp_path) == []
    (left,) = garbage(tmp_path)
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert list(collect([left])) == []
    write_bytes(tmp_path / "energy" / "one.json", b"new")
    assert [file.name for file in (tmp_path / "energy").iterdir()] == ["one.json"]


def test_output_at_a_url_is_not_collected(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SARPIPE_CACHE", str(tmp_path / "cache"))
    with pytest.raises(UsageError, match="may be in use by other machines"):
        garbage(mount(f"{bucket}/output"))


@dataclass(frozen=True)
class Drawn:
    """What of a random output folder is fresh, and what is damaged: one flag for each artefact in turn."""

    fresh: list[bool]
    damaged: list[bool]
    twins: bool
    current: int
    products: list[tuple[int, int]]


DRAWN = st.builds(
    Drawn,
    fresh=st.lists(st.booleans(), min_size=20, max_size=20),
    damaged=st.lists(st.sampled_from([False, False, False, True]), min_size=20, max_size=20),
    twins=st.booleans(),
    current=st.integers(-1, 2),
    products=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=3),
)


class Builder:
    """Makes artefacts as the stages do, as far as their manifests go."""

    def __init__(self, data: Path, drawn: Drawn) -> None:
        self.data, self.drawn, self.made = data, drawn, []
        self.damaged: set[Path] = set()
        self.fresh: set[Path] = set()

    def make(self, kind: str, parent: str, label: str, content: str, inputs: dict[str, Any]) -> Artefact:
        number = len(self.made)
        fresh = self.drawn.fresh[number]
        key = digest_json([kind, number])
        meta = {"key": key, "inputs": inputs, "code": _codes().get(kind, "") if fresh else "old"}
        folder = self.data / parent / f"{label}-{key[:12]}"
        made = commit(folder, meta, lambda path: (path / "a.bin").write_bytes(content.encode()) and None)
        self.made.append((made, kind))
        if fresh:
            self.fresh.add(folder)
        if self.drawn.damaged[number]:
            self.damaged.add(folder)
        return made


def build(data: Path, drawn: Drawn) -> Builder:
    builder = Builder(data, drawn)
    units = [
        builder.make("unit", "cubes/sar-1", "store", f"unit {i % 2 if drawn.twins else i}", {"store": f"{i:064x}"})
        for i in range(4)
    ]
    sets = [
        builder.make(
            "set",
            "cubes/sar-1",
            "set",
            f"set {i}",
            {
                "units": {f"store {unit.digest[:3]}": unit.digest for unit in of},
                "folders": [unit.folder.name for unit in of],
            },
        )
        for i, of in enumerate((units[:2], units[2:], units[1:3]))
    ]
    models = [builder.make("model", "models", "sar", f"model {i}", {"cubes": cubes_digest(sets[i])}) for i in range(3)]
    for i, (of_set, of_model) in enumerate(drawn.products):
        inputs = {"cubes": cubes_digest(sets[of_set]), "model": models[of_model].digest}
        embeddings = builder.make("embeddings", "embeddings", "sar", f"embeddings {i}", inputs)
        evaluation = builder.make(
            "evaluation", "reports", "evaluation", f"figures {i}", {**inputs, "embeddings": embeddings.digest}
        )
        if i == 1:
            others = {"set": sets[of_set].digest, "evaluation": evaluation.digest, "embeddings": embeddings.digest}
            builder.make("report", "reports", "sar", f"page {i}", {**others, "model": models[of_model].digest})
    if drawn.current >= 0:
        name = sets[drawn.current].folder.name
        note = {"set": name, "checksum": digest_json(name)}
        write_bytes(data / "cubes/sar-1/current.json", json.dumps(note).encode())
    for folder in builder.damaged:
        (folder / "a.bin").write_bytes(b"other")
    return builder


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(drawn=DRAWN)
def test_nothing_goes_that_is_whole_and_needed(drawn: Drawn) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        data = Path(folder)
        builder = build(data, drawn)
        kinds = {made.folder: kind for made, kind in builder.made}
        all_made = {made.folder: made for made, _ in builder.made}
        whole = {folder: made for folder, made in all_made.items() if folder not in builder.damaged}
        before = {path: files(path) for path in whole}

        found = garbage(data)
        gone = {one.path for one in collect(found)}

        assert gone == {one.path for one in found}
        left = {path for path, _ in artefacts(data)}
        assert left == kinds.keys() - gone
        # Only what is whole goes, of another version and no product.
        products = {path for path in whole if kinds[path] in ("model", "embeddings", "report")}
        assert not gone & (builder.damaged | builder.fresh | products)
        # What was made from what: for all that stays, there is what it was made from, as far as it was there.
        for path in left:
            inputs = all_made[path].meta["inputs"]
            for name in ("model", "embeddings", "evaluation", "set"):
                makers = {one for one, made in whole.items() if made.digest == inputs.get(name)}
                assert not makers or makers & left
            if "cubes" in inputs:
                makers = {
                    one for one, made in whole.items() if kinds[one] == "set" and cubes_digest(made) == inputs["cubes"]
                }
                assert not makers or makers & left
            if kinds[path] == "set":
                assert {path.parent / name for name in inputs["folders"]} & whole.keys() <= left
        if drawn.current >= 0:
            current = [made.folder for made, kind in builder.made if kind == "set"][drawn.current]
            assert current in left
        assert {path: files(path) for path in whole.keys() - gone} == {
            path: before[path] for path in whole.keys() - gone
        }
        assert {look.folder for look in verify(data, lambda *_: None).damaged} == builder.damaged
        assert garbage(data) == []


def test_old_cubes_whose_bytes_new_ones_have_go(rerun: Any) -> None:
    """The case that frees most: code that was changed and gives the same bytes."""
    (recipe,) = rerun.data.glob("cubes/sar-*")
    before = files(rerun.data)
    for path in sorted(recipe.iterdir()):
        if (path / "manifest.json").exists():
            one = shutil.copytree(path, recipe / "copy")
            meta = {**verify_meta(one), "code": "old", "key": "0123456789ab"}
            (one / "manifest.json").unlink()
            commit(
                recipe / f"{path.name[:-12]}0123456789ab",
                meta,
                lambda folder, one=one: shutil.copytree(one, folder, dirs_exist_ok=True) and None,
            )
            shutil.rmtree(one)
    found = garbage(rerun.data)
    assert len(found) == 3
    list(collect(found))
    assert files(rerun.data) == before


def verify_meta(folder: Path) -> dict[str, Any]:
    meta: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())["meta"]
    return meta


def leave(folder: Path, start: str) -> None:
    """As a maker that was killed before its last rename, or between two."""
    folder.rename(folder.with_name(f"{start}{folder.name}"))


@pytest.mark.parametrize("start", [".tmp-", ".old-"])
def test_the_only_whole_copy_is_no_garbage_and_is_put_back(rerun: Any, start: str) -> None:
    (embeddings,) = rerun.data.glob("embeddings/sar-*")
    whole = files(rerun.data)
    leave(embeddings, start)
    left = files(rerun.data)

    assert garbage(rerun.data) == []
    (leftover,) = verify(rerun.data, lambda *_: None).leftovers
    assert leftover.instead == embeddings
    assert list(put_back(rerun.data, dry_run=True)) == [embeddings]
    assert files(rerun.data) == left

    assert list(put_back(rerun.data)) == [embeddings]
    assert files(rerun.data) == whole
    assert list(put_back(rerun.data)) == []


def test_what_became_the_only_whole_copy_since_it_was_found_is_put_back(rerun: Any) -> None:
    (embeddings,) = rerun.data.glob("embeddings/sar-*")
    whole = files(rerun.data)
    shutil.copytree(embeddings, embeddings.with_name(f".tmp-{embeddings.name}"))
    found = garbage(rerun.data)
    assert len(found) == 1
    shutil.rmtree(embeddings)
    list(collect(found))
    assert files(rerun.data) == whole


def test_what_something_was_made_from_since_it_was_found_stays(tmp_path: Path) -> None:
    meta = {"stage": "evaluate", "key": "0123456789ab", "inputs": {}, "code": "old"}
    old = commit(tmp_path / "reports" / "evaluation-0123456789ab", meta, lambda folder: (folder / "a.bin").touch())
    (found,) = garbage(tmp_path)
    made = {"stage": "report", "key": "abcdefabcdef", "inputs": {"evaluation": old.digest}, "code": "old"}
    commit(tmp_path / "reports" / "sar-abcdefabcdef", made, lambda folder: (folder / "b.bin").touch())
    assert list(collect([found])) == []
    assert old.folder.is_dir()
    assert garbage(tmp_path) == []


def test_the_unit_of_a_store_that_was_called_set_is_a_unit(rerun: Any) -> None:
    (recipe,) = rerun.data.glob("cubes/sar-*")
    before = files(rerun.data)
    inputs = {"store": "1" * 64, "source_bytes": 1, "truth": None, "kernel": "compiled"}
    meta = {"stage": "preprocess", "name": "set", "key": "0123456789ab", "inputs": inputs, "code": _codes()["unit"]}
    unit = recipe / "set-0123456789ab"
    commit(unit, meta, lambda folder: (folder / "a.bin").touch())
    found = verify(rerun.data, lambda *_: None)
    assert found.whole
    assert [look.kind.name for look in found.looks if look.folder == unit] == ["unit"]
    assert garbage(rerun.data) == []
    shutil.rmtree(unit)
    commit(unit, {**meta, "code": "old"}, lambda folder: (folder / "a.bin").touch())
    assert [one.path for one in collect(garbage(rerun.data))] == [unit]
    assert files(rerun.data) == before


def test_a_removal_of_checkpoints_that_was_broken_off_keeps_nothing_old(tmp_path: Path) -> None:
    def one(folder: Path) -> None:
        (folder / "a.bin").write_bytes(b"a")

    model = tmp_path / "models" / "sar-0123456789ab"
    now = {"stage": "train", "key": "0123456789ab", "inputs": {}, "code": "old"}
    commit(model, now, one)
    commit(tmp_path / "reports" / "evaluation-abcdefabcdef", {**now, "stage": "evaluate", "key": "abcdefabcdef"}, one)
    step = model.with_name(model.name + ".checkpoints") / "step-000000003-0123456789ab"
    commit(step, now, one)
    (step / "manifest.json").unlink()
    assert {item.path.name for item in collect(garbage(tmp_path))} == {
        step.parent.name,
        "evaluation-abcdefabcdef",
    }
    assert [path.name for path in (tmp_path / "models").glob("sar*")] == [model.name]


def test_nothing_that_was_finished_goes_while_a_run_is_under_way(tmp_path: Path) -> None:
    meta = {"stage": "evaluate", "key": "0123456789ab", "inputs": {}, "code": "old"}
    old = commit(tmp_path / "reports" / "evaluation-0123456789ab", meta, lambda folder: (folder / "a.bin").touch())
    found = garbage(tmp_path)
    with run_log(resolve(data=tmp_path), "embed"), run_log(resolve(data=tmp_path), "embed"):
        assert list(collect(found)) == []
        assert old.folder.is_dir()
    assert len(list(collect(found))) == 1
    assert not old.folder.exists()

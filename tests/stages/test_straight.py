import errno
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from sarpipe.cubes import CubeFiles, CubeSet
from sarpipe.embeddings.geoparquet import read_geoparquet
from sarpipe.errors import DamagedError, DataError, UsageError
from sarpipe.settings import resolve
from sarpipe.ssl4eo import archive
from sarpipe.stages import preprocess, straight
from sarpipe.stages.cube_set import current_set, make_set, plan_set
from sarpipe.stages.places import load_cubes, open_cubes
from sarpipe.stages.preprocess import make_store, plan_preprocess, unit_receipt
from sarpipe.storage import commit, inspect
from sarpipe.storage.lock import exclusive

LATER = ("train", "embed", "evaluate", "report")


def quiet(*_: Any) -> None:
    pass


def test_places_are_conserved_and_every_output_is_there(rerun: Any) -> None:
    summary = rerun()
    assert summary["places"]["in"] == summary["places"]["embedded"] + summary["places"]["quarantined"] == 10
    for name, path in summary["outputs"].items():
        assert Path(path).exists(), name
    embeddings = read_geoparquet(Path(summary["outputs"]["embeddings_parquet"]))
    assert len(set(embeddings.ids)) == 10
    assert np.isfinite(embeddings.vectors).all()


def test_a_second_run_reuses_everything_and_touches_nothing(rerun: Any) -> None:
    before = {name: made for name, made in rerun.files().items() if not name.endswith(("current.json", ".csv"))}
    summary = rerun()
    after = rerun.files()
    assert summary["units"] == {"total": 2, "computed": 0, "reused": 2, "refused": 0}
    assert set(summary["stages"].values()) == {"reused"}
    assert {name: after[name] for name in before} == before


def remade(rerun: Any) -> set[str]:
    summary = rerun()
    stages = {stage for stage, how in summary["stages"].items() if how == "computed"}
    return stages | ({"unit"} if summary["units"]["computed"] == 1 else set())


@pytest.mark.parametrize(
    ("pattern", "stage"),
    [
        ("cubes/sar-*/ssl4eos12*_000001-*", "unit"),
        ("models/sar-*", "train"),
        ("embeddings/sar-*", "embed"),
        ("reports/evaluation-*", "evaluate"),
        ("reports/sar-*", "report"),
    ],
)
@pytest.mark.parametrize("how", ["deleted", "damaged"])
def test_what_is_gone_or_damaged_is_made_again_bit_for_bit_and_nothing_else(
    rerun: Any, pattern: str, stage: str, how: str
) -> None:
    before = {name: content for name, (content, _) in rerun.files().items()}
    (folder,) = rerun.data.glob(pattern)
    if how == "deleted":
        shutil.rmtree(folder)
    else:
        victim = folder / sorted(inspect(folder).files)[0]
        content = bytearray(victim.read_bytes())
        content[len(content) // 2] ^= 1
        victim.write_bytes(content)
    assert remade(rerun) == {stage}
    assert {name: content for name, (content, _) in rerun.files().items()} == before


def test_a_set_beyond_the_limit_of_memory_is_read_batch_by_batch_with_the_same_bytes(rerun: Any) -> None:
    before = {name: content for name, (content, _) in rerun.files().items()}
    for pattern in ("models/sar-*", "embeddings/sar-*"):
        (folder,) = rerun.data.glob(pattern)
        shutil.rmtree(folder)
    cube_set = current_set(rerun.settings())
    assert isinstance(open_cubes(cube_set, 1e-6), CubeFiles)
    assert isinstance(open_cubes(cube_set, None), CubeSet)
    summary = rerun(memory_gb=1e-6)
    assert [summary["stages"][stage] for stage in ("train", "embed", "evaluate")] == ["computed", "computed", "reused"]
    assert {name: content for name, (content, _) in rerun.files().items()} == before


def test_two_processes_of_torchrun_make_one_model_and_speak_once(rerun: Any) -> None:
    options = ["train.epochs=2", "train.batch_size=4", "device=cpu", "train.seed=5"]
    done = subprocess.run(
        [
            *(Path(sys.executable).with_name("torchrun"), "--nproc-per-node", "2", "-m", "sarpipe.flows.cli"),
            *("train", "--data", rerun.data, "--json", *(part for option in options for part in ("--set", option))),
        ],
        env={**os.environ, "GLOO_SOCKET_IFNAME": "lo"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["stages"] == {"train": "computed"}
    assert summary["training"] == {"device": "cpu", "steps": 4, "resumed_from_step": 0}
    again = straight.later("train", rerun.settings(train__seed=5), quiet)
    assert (again["computed"], again["folder"]) == (False, summary["outputs"]["model"])
    together = pd.read_parquet(Path(again["folder"]) / "losses.parquet")
    alone = straight.later("train", rerun.settings(train__seed=5), quiet, force=True)
    np.testing.assert_allclose(pd.read_parquet(Path(alone["folder"]) / "losses.parquet"), together, atol=1e-2)


def test_force_makes_a_stage_again(rerun: Any) -> None:
    settings = rerun.settings()
    assert straight.later("embed", settings, quiet)["computed"] is False
    assert straight.later("embed", settings, quiet, force=True)["computed"] is True
    assert remade(rerun) == set()


def test_another_setting_remakes_only_what_depends_on_it(rerun: Any) -> None:
    summary = rerun(train__seed=1)
    assert summary["units"]["computed"] == 0
    assert set(summary["stages"].values()) == {"computed"}
    # What was made with the first settings is still there.
    assert remade(rerun) == set()


def test_files_never_name_other_settings_than_they_were_made_with(rerun: Any) -> None:
    # A recipe that happens to give the same cubes, and a training that happens to give the same weights.
    for overrides in ({"recipe__min_valid": 0.4}, {"train__temperature": 0.2}):
        settings = rerun.settings(**overrides)
        straight.preprocess(settings, str(rerun.stores), quiet)
        _, made = (straight.later(stage, settings, quiet) for stage in ("train", "embed"))
        table = pq.read_schema(Path(made["folder"]) / "embeddings.parquet")
        said = json.loads(table.metadata[b"sarpipe"])
        assert said["recipe"] == settings.recipe.model_dump(mode="json")
        assert said["training"] == settings.train.model_dump(mode="json")


def test_two_runs_into_empty_folders_come_to_the_same_bytes(rerun: Any, fresh: Callable[[], Any]) -> None:
    other = fresh()
    other()
    made, again = rerun.files(), other.files()
    # The list of the quarantine names where the stores lie.
    of_both = {name for name in made | again if not name.startswith("quarantine/")}
    assert {name: again[name][0] for name in of_both} == {name: made[name][0] for name in of_both}
    assert {Path(name).suffix for name in of_both} >= {
        ".parquet",
        ".csv",
        ".json",
        ".npy",
        ".safetensors",
        ".html",
        ".png",
    }


def test_where_the_stores_lie_does_not_matter(fresh: Callable[[], Any]) -> None:
    run = fresh()
    first = sorted(run.stores.glob("*.zip"))[0]
    first.write_bytes(first.read_bytes()[:-5000])
    before = straight.preprocess(run.settings(), str(run.stores), quiet)["cube_set"]
    # As in a download cache: links to files of other names, elsewhere.
    blobs = run.stores.rename(run.stores.with_name("blobs"))
    run.stores.mkdir()
    for number, path in enumerate(sorted(blobs.iterdir())):
        blob = path.rename(path.with_name(f"{number:08x}"))
        (run.stores / path.name).symlink_to(blob)
    after = straight.preprocess(run.settings(), str(run.stores), quiet)["cube_set"]
    assert after["digest"] == before["digest"]
    assert after["computed"] is False


def test_what_cannot_be_used_is_named_and_the_rest_is_kept(fresh: Callable[[], Any]) -> None:
    run = fresh()
    first, second = sorted(run.stores.glob("*.zip"))
    first.write_bytes(first.read_bytes()[:-5000])
    result = straight.preprocess(run.settings(), str(run.stores), quiet)
    assert list(result["refused"]) == ["ssl4eos12_train_seasonal_data_000001"]
    assert "not a whole zip" in result["refused"]["ssl4eos12_train_seasonal_data_000001"]["reason"]
    assert len(load_cubes(current_set(run.settings())).ids) == result["cube_set"]["places_kept"] == 5
    listed = pd.read_csv(run.data / "quarantine" / f"{run.settings().cubes_folder.name}.csv")
    assert list(listed["store"]) == ["ssl4eos12_train_seasonal_data_000001"]
    second.write_bytes(b"")
    with pytest.raises(
        DataError, match=r"no store could be used, 2 were refused: .*not a whole zip.* \(and 1 more\)"
    ) as caught:
        straight.preprocess(run.settings(), str(run.stores), quiet)
    # All are named, and the set that was there is still the current one.
    listed = pd.read_csv(run.data / "quarantine" / f"{run.settings().cubes_folder.name}.csv")
    assert len(listed) == 2
    assert str(run.data) in caught.value.hint
    assert len(load_cubes(current_set(run.settings())).ids) == 5


def test_a_place_that_two_stores_have_is_kept_once(fresh: Callable[[], Any]) -> None:
    run = fresh()
    first, second = sorted(run.stores.glob("*.zip"))
    shutil.copy(first, second)
    for truth in run.stores.glob("*.truth.parquet"):
        truth.unlink()
    counts = straight.preprocess(run.settings(), str(run.stores), quiet)["cube_set"]
    assert (counts["places_in"], counts["places_kept"], counts["places_quarantined"]) == (10, 5, 5)


def test_a_stage_whose_forerunner_has_not_run_says_what_to_type(fresh: Callable[[], Any]) -> None:
    run = fresh()
    with pytest.raises(UsageError, match="sarpipe preprocess SOURCE"):
        straight.later("train", run.settings(), quiet)
    straight.preprocess(run.settings(), str(run.stores), quiet)
    with pytest.raises(UsageError, match="sarpipe train"):
        straight.later("embed", run.settings(), quiet)


def test_only_a_set_of_the_recipe_is_taken(rerun: Any, tmp_path: Path) -> None:
    (cube_set,) = rerun.data.glob("cubes/sar-*/set-*")
    assert straight.later("train", rerun.settings(), quiet, cubes=str(cube_set))["computed"] is False
    shutil.copytree(cube_set, tmp_path / "elsewhere")
    for folder in (tmp_path / "elsewhere", cube_set.with_name("set-none"), cube_set / ".." / ".." / cube_set.name):
        with pytest.raises(UsageError):
            straight.later("train", rerun.settings(), quiet, cubes=str(folder))


def test_a_set_whose_unit_is_gone_is_not_trained_on(rerun: Any) -> None:
    (unit,) = rerun.data.glob("cubes/sar-*/ssl4eos12*_000002-*")
    shutil.rmtree(unit)
    with pytest.raises(UsageError, match="is gone"):
        straight.later("train", rerun.settings(train__seed=9), quiet)
    note = next(rerun.data.glob("cubes/sar-*/current.json"))
    note.write_text(note.read_text().replace("set-", "../set-"))
    with pytest.raises(DamagedError, match=r"current\.json"):
        straight.later("train", rerun.settings(train__seed=9), quiet)


def unit_folders(run: Any) -> list[Path]:
    return sorted(path for path in run.data.glob("cubes/sar-*/ssl4eos12*") if path.is_dir())


@pytest.mark.parametrize("force", [False, True])
def test_a_whole_unit_in_the_place_of_another_is_made_anew(rerun: Any, force: bool) -> None:
    before = {path: data for path, (data, _) in rerun.files().items()}
    one, other = unit_folders(rerun)
    shutil.rmtree(other)
    shutil.copytree(one, other)

    summary = rerun(force=force, train__epochs=2)

    assert summary["units"]["computed"] == (2 if force else 1)
    assert summary["quarantine"] == []
    assert {path: data for path, (data, _) in rerun.files().items()} == before


def test_a_whole_set_in_the_place_of_the_current_one_is_not_taken_for_it(rerun: Any) -> None:
    (cube_set,) = rerun.data.glob("cubes/sar-*/set-*")
    other = cube_set.with_name("set-0123456789ab")
    meta = {**inspect(cube_set).meta, "key": "0123456789ab"}
    commit(other, meta, lambda folder: (folder / "index.parquet").write_bytes(b"of others") and None)
    shutil.rmtree(cube_set)
    other.rename(cube_set)
    with pytest.raises(DamagedError, match="has the key of something else"):
        current_set(rerun.settings())


def test_what_a_killed_run_left_beside_a_whole_unit_goes_with_the_next_run_and_not_with_a_plan(rerun: Any) -> None:
    one, other = unit_folders(rerun)
    left = [one.with_name(f".old-{one.name}"), other.with_name(f".tmp-{other.name}")]
    for path in left:
        shutil.copytree(one, path)
    with exclusive(one):
        # Somebody makes it anew.
        plan_preprocess(rerun.settings(), str(rerun.stores), remember=False)
        assert all(path.exists() for path in left)
        plan_preprocess(rerun.settings(), str(rerun.stores))
        assert [path.exists() for path in left] == [True, False]
    assert all(step.done for step in plan_preprocess(rerun.settings(), str(rerun.stores)))
    assert not any(path.exists() for path in left)


def test_a_unit_that_was_finished_but_for_its_place_is_not_made_again(rerun: Any) -> None:
    before = rerun.files()
    one, _ = unit_folders(rerun)
    one.rename(one.with_name(f".tmp-{one.name}"))
    (step, _) = plan_preprocess(rerun.settings(), str(rerun.stores), remember=False)
    assert (step.state, step.why) == ("missing", "finished by a run that was killed: it is put in its place")
    assert rerun()["units"]["computed"] == 0
    assert rerun.files() == before


def test_a_unit_of_other_bytes_than_its_receipt_says_makes_no_set(rerun: Any) -> None:
    steps = plan_preprocess(rerun.settings(), str(rerun.stores))
    units = [{**unit_receipt(step), "digest": "0" * 64} for step in steps]
    with pytest.raises(DamagedError, match="was replaced by other bytes"):
        make_set(plan_set(rerun.settings(), units, {}), units, {})


@pytest.mark.parametrize("where", ["directory", "truth", "pixels"])
def test_a_store_where_the_disk_fails_is_refused_and_the_others_are_made(
    small_stores: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    failing = sorted(small_stores.glob("*.zip"))[0]
    truth = failing.with_name(f"{failing.name.split('.')[0]}.truth.parquet")
    settings = resolve(data=tmp_path / "data", overrides={"device": "cpu"})
    open_zip, read, digest = archive.open_zip, zipfile.ZipFile.open, preprocess.file_sha256

    def failed(path: object) -> None:
        if path in (failing, truth, str(failing)):
            raise OSError(errno.EIO, "Input/output error")

    if where == "directory":
        monkeypatch.setattr(archive, "open_zip", lambda file, path: (failed(path), open_zip(file, path))[1])
    elif where == "truth":
        monkeypatch.setattr(preprocess, "file_sha256", lambda path: (failed(path), digest(path))[1])
    first, other = plan_preprocess(settings, str(small_stores))
    assert other.state == "missing"
    if where == "pixels":
        assert first.state == "missing"
        monkeypatch.setattr(
            zipfile.ZipFile, "open", lambda self, *given: (failed(self.filename), read(self, *given))[1]
        )
        with pytest.raises(DataError, match=r"cannot be read: .*Input/output error"):
            make_store(first, settings)
        assert make_store(other, settings)["computed"]
    else:
        assert first.state == "refused"
        assert "Input/output error" in first.why

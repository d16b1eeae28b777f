"""Runs, crashes, damage and changed settings in any order: the tree is the one of an undisturbed run."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, Phase, event, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from sarpipe.errors import DataError, SarpipeError
from sarpipe.settings import Settings, resolve
from sarpipe.simulate import simulate
from sarpipe.stages import chain, gc, straight
from sarpipe.stages.preprocess import StoreReceipt, make_store
from sarpipe.stages.quarantine import listed_quarantine
from sarpipe.stages.step import Step
from sarpipe.storage import inspect

# A death leaves coroutines of zarr that nobody waits for.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::RuntimeWarning")

TINY = {"train.epochs": 1, "train.batch_size": 4, "train.readout": "tokens", "device": "cpu"}
VARIANTS: dict[str, dict[str, Any]] = {"as it was": {}, "seed": {"train.seed": 1}, "recipe": {"recipe.min_valid": 0.4}}
NAMES = tuple(f"ssl4eos12_train_seasonal_data_00000{number}" for number in range(1, 5))
CONTENTS = (0, 1, 2)
HOWS = ("whole", "cut", "flipped")
Store = tuple[int, str]
"""Which of the simulated stores a file holds, and how it is."""


def tree(folder: Path) -> dict[str, bytes]:
    """The files of an artefact, without what somebody has put beside them."""
    ours = (path for path in sorted(folder.rglob("*")) if path.is_file() and path != folder / "stray")
    return {str(path.relative_to(folder)): path.read_bytes() for path in ours}


def whole(folder: Path | None) -> bool:
    """Whether an artefact is there with all its bytes, and in its own place, by its manifest alone."""
    if folder is None:
        return False
    try:
        document = json.loads((folder / "manifest.json").read_bytes())
        files = document["files"]
        if not document["meta"]["key"].startswith(folder.name[-12:]):
            return False
        checksums = {name: hashlib.sha256(data).hexdigest() for name, data in tree(folder).items()}
        del checksums["manifest.json"]
        return bool(checksums == {name: record["sha256"] for name, record in files.items()})
    except (OSError, ValueError, KeyError, TypeError):
        return False


def there(folder: Path | None) -> bool:
    """Whether nothing of an artefact is lost: it is whole, or what a kill has left beside its place is."""
    if folder is None:
        return False
    return any(whole(folder.with_name(f"{start}{folder.name}")) for start in ("", ".tmp-", ".old-"))


def put_store(pool: list[Path], folder: Path, name: str, store: Store) -> None:
    content, how = store
    data = bytearray(pool[content].read_bytes())
    if how == "cut":
        data = data[:-5000]
    if how == "flipped":
        data[len(data) // 2] ^= 16
    (folder / f"{name}.zarr.zip").write_bytes(data)
    shutil.copy(pool[content].with_name(f"{pool[content].name.split('.')[0]}.truth.parquet"), truth(folder, name))


def truth(folder: Path, name: str) -> Path:
    return folder / f"{name}.truth.parquet"


def is_settled(step: Step) -> bool:
    """Whether a plan says that nothing is to be computed."""
    return step.done or step.why.startswith("finished by a run that was killed")


class Runner:
    """All stages of a data folder, one after the other."""

    def __init__(self, data: Path, stores: Path, stages: tuple[str, ...]) -> None:
        self.data, self.stores, self.stages = data, stores, stages

    def settings(self, variant: str) -> Settings:
        return resolve(data=self.data, overrides={**TINY, **VARIANTS[variant]})

    def plan(self, variant: str) -> list[Step]:
        return chain.plan(self.settings(variant), "run", str(self.stores))

    def __call__(self, variant: str) -> dict[str, Any]:
        chosen = self.settings(variant)
        results: dict[str, Any] = {"preprocess": straight.preprocess(chosen, str(self.stores), quiet)}
        for stage in self.stages:
            results[stage] = straight.later(stage, chosen, quiet, cubes=results["preprocess"]["cube_set"]["folder"])
        return results

    def current(self, variant: str, results: Mapping[str, Any]) -> dict[str, Any]:
        """What a run has made or found whole, by its path below the data folder."""
        made = results["preprocess"]
        folders = [Path(unit["folder"]) for unit in made["units"]]
        folders += [Path(made["cube_set"]["folder"]), *(Path(results[stage]["folder"]) for stage in self.stages)]
        cubes = self.settings(variant).cubes_folder
        found: dict[str, Any] = {str(folder.relative_to(self.data)): tree(folder) for folder in folders}
        # Its commands and paths name the folder.
        named = listed_quarantine(self.settings(variant))[["id", "store", "step", "code", "reason"]].to_dict("records")
        return found | {"current.json": (cubes / "current.json").read_bytes(), "quarantine": named}


def quiet(*_: Any) -> None:
    pass


def here(
    chosen: Settings,
    steps: list[Step],
    receipts: dict[str, StoreReceipt],
    errors: dict[str, BaseException],
    on_store: Callable[[str], None],
) -> None:
    """Units one after the other in this process, which can then die at any of their files."""
    for step in steps:
        try:
            receipts[step.name] = make_store(step, chosen)
        except DataError as error:
            errors[step.name] = error
        on_store(step.name)


class Oracle:
    """What an undisturbed run makes, in a folder of its own."""

    def __init__(self, folder: Path, pool: list[Path], stages: tuple[str, ...]) -> None:
        self.pool, self.stages = pool, stages
        self._folder = folder
        self._known: dict[Any, dict[str, Any] | str] = {}

    def __call__(self, variant: str, stores: Mapping[str, Store]) -> dict[str, Any] | str:
        """The current artefacts, or what the run fails with."""
        state = (variant, tuple(sorted(stores.items())))
        if state not in self._known:
            run = self.runner(len(self._known), stores)
            try:
                self._known[state] = run.current(variant, run(variant))
            except SarpipeError as error:
                self._known[state] = error.message
        return self._known[state]

    def runner(self, number: int, stores: Mapping[str, Store]) -> Runner:
        folder = self._folder / str(number)
        (folder / "stores").mkdir(parents=True)
        for name, store in stores.items():
            put_store(self.pool, folder / "stores", name, store)
        return Runner(folder / "data", folder / "stores", self.stages)


class Pipeline(RuleBasedStateMachine):
    """One data folder and its stores, to which anything may happen."""

    oracle: Oracle
    dying_after: Any
    steps = 0
    runs = 0
    deaths = 0
    collected = 0

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="sarpipe-stateful-"))
        self.stores: dict[str, Store] = {}
        self.variant = "as it was"
        self.garbage: list[gc.Garbage] = []
        self.version = "this"
        (self.folder / "stores").mkdir()
        self.run = Runner(self.folder / "data", self.folder / "stores", self.oracle.stages)

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @initialize(finished=st.booleans())
    def start(self, finished: bool) -> None:
        for number, name in enumerate(NAMES[:2]):
            self._put(name, (number, "whole"))
        if finished:
            self.run_all()

    def _put(self, name: str, store: Store) -> None:
        put_store(self.oracle.pool, self.run.stores, name, store)
        self.stores[name] = store

    def _take(self, name: str) -> None:
        del self.stores[name]
        (self.run.stores / f"{name}.zarr.zip").unlink()
        truth(self.run.stores, name).unlink()

    @rule(name=st.sampled_from(NAMES), content=st.sampled_from(CONTENTS), how=st.sampled_from(HOWS))
    def put_a_store(self, name: str, content: int, how: str) -> None:
        """Adds, replaces, damages and mends."""
        type(self).steps += 1
        self._put(name, (content, how))

    @precondition(lambda self: len(self.stores) > 1)
    @rule(data=st.data())
    def take_a_store_away(self, data: st.DataObject) -> None:
        type(self).steps += 1
        self._take(data.draw(st.sampled_from(sorted(self.stores))))

    @precondition(lambda self: len(self.stores) < len(NAMES))
    @rule(data=st.data())
    def rename_a_store(self, data: st.DataObject) -> None:
        type(self).steps += 1
        old = data.draw(st.sampled_from(sorted(self.stores)))
        new = data.draw(st.sampled_from(sorted(set(NAMES) - set(self.stores))))
        store = self.stores[old]
        self._take(old)
        self._put(new, store)

    @rule(variant=st.sampled_from(sorted(VARIANTS)))
    def change_a_setting(self, variant: str) -> None:
        type(self).steps += 1
        self.variant = variant

    @precondition(lambda self: self._files())
    @rule(
        data=st.data(),
        how=st.sampled_from(
            ["flip", "truncate", "delete", "empty", "delete the folder", "add", "the folder of another", "aside"]
        ),
    )
    def harm_a_file_of_ours(self, data: st.DataObject, how: str) -> None:
        type(self).steps += 1
        path = data.draw(st.sampled_from(self._files()))
        note(f"{how} {path.relative_to(self.folder)}")
        content = bytearray(path.read_bytes())
        if how == "flip" and content:
            place = data.draw(st.integers(0, len(content) - 1))
            content[place] ^= 1 << data.draw(st.integers(0, 7))
            path.write_bytes(content)
        elif how in ("truncate", "empty"):
            os.truncate(path, len(content) // 2 if how == "truncate" else 0)
        elif how == "delete":
            path.unlink()
        elif how == "delete the folder":
            shutil.rmtree(path.parent)
        elif how == "add":
            (path.parent / "stray").write_bytes(b"not ours")
        elif how in ("the folder of another", "aside"):
            self._harm_a_folder(data, path, how)

    def _harm_a_folder(self, data: st.DataObject, path: Path, how: str) -> None:
        """A copy that was put back under another's name; or what a kill may leave of a replacement."""
        folders = {manifest.parent for manifest in self._files() if manifest.name == "manifest.json"}
        folder = next((above for above in path.parents if above in folders), None)
        if folder is None or folder.name.startswith("."):
            return
        others = sorted(one for one in folders if one.parent == folder.parent and one != folder)
        if how == "aside":
            start = data.draw(st.sampled_from([".tmp-", ".old-"]))
            shutil.rmtree(folder.with_name(f"{start}{folder.name}"), ignore_errors=True)
            folder.rename(folder.with_name(f"{start}{folder.name}"))
        elif others:
            shutil.rmtree(folder)
            shutil.copytree(data.draw(st.sampled_from(others)), folder)

    def _files(self) -> list[Path]:
        if not self.run.data.exists():
            return []
        return [path for path in sorted(self.run.data.rglob("*")) if path.is_file() and ".lock-" not in path.name]

    @rule(operations=st.integers(0, 700))
    def die(self, operations: int) -> None:
        """A run that is killed."""
        type(self).steps += 1
        with self.dying_after(operations, self.run.data) as life:
            try:
                self.run(self.variant)
            except DataError as error:
                note(f"no run: {error}")
        type(self).deaths += life.dead
        event("died" if life.dead else "came to its end")

    @precondition(lambda self: self.run.data.exists())
    @rule(version=st.sampled_from(["this", "another"]), at_once=st.booleans())
    def look_for_garbage(self, version: str, at_once: bool) -> None:
        """By this version of the code, or by another to which all of this one's is outdated."""
        type(self).steps += 1
        self.version = version
        with self._as_version():
            self.garbage = gc.find_garbage(self.run.data, quiet)[0]
        if at_once:
            self._collect()

    @precondition(lambda self: self.garbage)
    @rule()
    def collect_garbage(self) -> None:
        """After all that may have happened since it was found."""
        type(self).steps += 1
        self._collect()

    def _collect(self) -> None:
        kept = {folder for folder in self._manifests() if there(folder) and self._is_needed(folder)}
        with self._as_version():
            gone = list(gc.collect(self.garbage))
        type(self).collected += len(gone)
        self.garbage = []
        assert {folder for folder in kept if there(folder)} == kept

    def _as_version(self) -> AbstractContextManager[object]:
        if self.version == "this":
            return nullcontext()
        return mock.patch.object(gc, "_codes", return_value=dict.fromkeys(("set", "unit", "model"), "another"))

    def _manifests(self) -> set[Path]:
        """The artefacts of which there is a manifest, in place or beside it."""
        found = {path.parent for path in self._files() if path.name == "manifest.json"}
        return {folder.with_name(re.sub(r"^\.(tmp|old|gone)-", "", folder.name)) for folder in found}

    def _is_needed(self, folder: Path) -> bool:
        """Embeddings, the model that made them, and with this version all but checkpoints."""
        if folder.parent.name.endswith(".checkpoints"):
            return False
        if self.version == "this" or folder.parent.name == "embeddings":
            return True
        made = [one for one in self._manifests() if one.parent.name == "embeddings" and whole(one)]
        return whole(folder) and any(inspect(one).meta["inputs"]["model"] == inspect(folder).digest for one in made)

    @rule(stage=st.sampled_from(["train", "embed"]))
    def run_a_stage(self, stage: str) -> None:
        """It says what to run first, or makes just what is missing."""
        type(self).steps += 1
        chosen = self.run.settings(self.variant)
        try:
            (step,) = chain.plan(chosen, stage, None)
        except SarpipeError as error:
            note(f"{stage}: {error}")
            with pytest.raises(type(error)) as caught:
                straight.later(stage, chosen, quiet)
            assert caught.value.hint
            return
        before = there(step.folder)
        assert straight.later(stage, chosen, quiet)["computed"] is not before
        assert whole(step.folder)

    @rule()
    def run_all(self) -> None:
        type(self).steps += 1
        type(self).runs += 1
        planned = {(step.stage, step.name): step for step in self.run.plan(self.variant)}
        before = {folder for folder in self._manifests() if there(folder)}
        units = {name: planned["preprocess", name].folder for name in self.stores}
        # A flipped bit is seen by who reads the store. Of a unit that is there nobody does, and its bytes are right.
        known = {
            name: (content, "whole" if how == "flipped" and units[name] in before else how)
            for name, (content, how) in self.stores.items()
        }
        expected = self.oracle(self.variant, known)
        if isinstance(expected, str):
            with pytest.raises(SarpipeError) as caught:
                self.run(self.variant)
            assert caught.value.message == expected
            return
        results = self.run(self.variant)
        assert self.run.current(self.variant, results) == expected
        self._executed_as_planned(results, planned, before)
        self._places_are_conserved(results, known)
        self._nothing_is_left_beside(results)

    def _executed_as_planned(
        self, results: Mapping[str, Any], planned: Mapping[tuple[str, str], Step], before: set[Path]
    ) -> None:
        made = results["preprocess"]
        for receipt in [*made["units"], made["cube_set"], *(results[stage] for stage in self.run.stages)]:
            assert receipt["computed"] is (Path(receipt["folder"]) not in before), receipt
        for unit in made["units"]:
            assert is_settled(planned["preprocess", unit["name"]]) is not unit["computed"]
        for (stage, name), step in planned.items():
            if stage == "preprocess" and step.state == "refused":
                assert name in made["refused"]
            elif stage in results and stage != "preprocess" and step.state != "waits":
                assert is_settled(step) is not results[stage]["computed"]

    def _places_are_conserved(self, results: Mapping[str, Any], known: Mapping[str, Store]) -> None:
        counts = results["preprocess"]["cube_set"]
        usable = [content for content, how in known.values() if how == "whole"]
        assert counts["places_in"] == 3 * len(usable)
        assert counts["places_kept"] == 3 * len(set(usable)) == results["embed"]["places"]
        assert counts["places_in"] == counts["places_kept"] + counts["places_quarantined"]
        assert set(results["preprocess"]["refused"]) == {name for name, (_, how) in known.items() if how != "whole"}

    def _nothing_is_left_beside(self, results: Mapping[str, Any]) -> None:
        made = results["preprocess"]
        for receipt in [*made["units"], made["cube_set"], *(results[stage] for stage in self.run.stages)]:
            folder = Path(receipt["folder"])
            left = [f"{start}{folder.name}" for start in (".tmp-", ".old-", ".gone-")] + [f"{folder.name}.checkpoints"]
            assert not [name for name in left if (folder.parent / name).exists()]


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three stores of three places."""
    return simulate(tmp_path_factory.mktemp("pool"), stores=len(CONTENTS), places=3, seed=3)


@pytest.fixture
def machine(
    pool: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dying_after: Callable[..., Any]
) -> Callable[[tuple[str, ...]], type[Pipeline]]:
    """The machine, for runs of these stages after preprocess."""
    monkeypatch.setattr(straight, "_on_dask", here)

    def make(stages: tuple[str, ...]) -> type[Pipeline]:
        return type(
            "Machine", (Pipeline,), {"oracle": Oracle(tmp_path, pool, stages), "dying_after": staticmethod(dying_after)}
        )

    return make


def bounded(examples: int, steps: int, **options: Any) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        **options,
    )


def test_whatever_happens_a_run_ends_as_an_undisturbed_one(
    machine: Callable[[tuple[str, ...]], type[Pipeline]],
) -> None:
    made = machine(("train", "embed"))
    run_state_machine_as_test(made, settings=bounded(5, 8, derandomize=True, phases=[Phase.generate]))
    assert made.runs > 5
    assert made.deaths > 1


@pytest.mark.faults
@pytest.mark.parametrize(
    ("stages", "examples"), [(("train", "embed"), 30), (("train", "embed", "evaluate", "report"), 5)]
)
def test_whatever_happens_often(
    machine: Callable[[tuple[str, ...]], type[Pipeline]], stages: tuple[str, ...], examples: int
) -> None:
    made = machine(stages)
    try:
        run_state_machine_as_test(made, settings=bounded(examples, 20))
    finally:
        print(f"{made.steps} steps, {made.runs} whole runs, {made.deaths} deaths, {made.collected} collected")

"""Damaged artefacts, full and read-only disks, many runs at once, clocks that jump: the tree is as undisturbed."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from crash_world import TARGETS, Undisturbed, World, all_whole, hidden, tree
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sarpipe.storage.artefact import MANIFEST

DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "flipped": lambda data: data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 4]) + data[len(data) // 2 + 1 :],
    "cut": lambda data: data[: len(data) // 2],
    "gone": lambda data: None,
}
STEPS = ("unit", "set", "train", "embed", "evaluate", "report")


def damage(path: Path, how: str) -> None:
    # Taken away first, as other copies are linked to the same file.
    data = path.read_bytes()
    path.unlink()
    damaged = DAMAGES[how](data)
    if damaged is not None:
        path.write_bytes(damaged)


def target(data: Path, scenario: str) -> Path:
    (folder,) = (path for path in data.glob(TARGETS[scenario]) if (path / MANIFEST).exists())
    return folder


def damage_and_rerun(world: World, scenario: str, oracle: Undisturbed, file: str, how: str) -> None:
    data = world.folder / scenario / f"{how}-{file.replace('/', '-')}"
    shutil.copytree(oracle.data, data, copy_function=os.link, ignore=shutil.ignore_patterns(".lock-*"))
    folder = target(data, scenario)
    before = all_whole(data)
    damage(folder / file, how)
    again = world.play(scenario, data)
    assert again is not None
    assert again.get("computed", True) is True
    assert tree(data) == oracle.tree
    assert hidden(data) == []
    after = all_whole(data)
    assert {path for path in before if before[path] != after[path]} == {folder}
    shutil.rmtree(data)


def damage_each_and_rerun(world: World, scenario: str, oracle: Undisturbed, damages: Sequence[tuple[str, str]]) -> None:
    with ThreadPoolExecutor(2) as both:
        list(both.map(lambda one: damage_and_rerun(world, scenario, oracle, *one), damages))


def damages(oracle: Undisturbed, scenario: str) -> list[tuple[str, str]]:
    folder = target(oracle.data, scenario)
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    # A file of no bytes has none to be flipped or cut.
    return [(name, how) for name in names for how in DAMAGES if (folder / name).stat().st_size or how == "gone"]


@pytest.mark.parametrize("scenario", TARGETS)
def test_a_damaged_artefact_alone_is_made_again_with_the_same_bytes(
    world: World, undisturbed: Callable[[str], Undisturbed], scenario: str
) -> None:
    oracle = undisturbed(scenario)
    every = damages(oracle, scenario)
    manifest = [one for one in every if one[0] == MANIFEST][:2]
    damage_each_and_rerun(world, scenario, oracle, [every[0], every[-1], *manifest])


@pytest.mark.faults
@pytest.mark.parametrize("scenario", TARGETS)
def test_whatever_file_is_damaged_its_artefact_alone_is_made_again(
    world: World, undisturbed: Callable[[str], Undisturbed], scenario: str
) -> None:
    oracle = undisturbed(scenario)
    every = damages(oracle, scenario)
    damage_each_and_rerun(world, scenario, oracle, every)
    print(f"{scenario}: {len(every)} damages, lost 0")


@pytest.mark.parametrize("how", [how for how in DAMAGES if how != "gone"])
def test_a_store_whose_checksums_are_damaged_is_refused(
    world: World, undisturbed: Callable[[str], Undisturbed], how: str
) -> None:
    data = world.folder / f"ledger-{how}"
    shutil.copytree(undisturbed("ledger").data, data, copy_function=os.link)
    (note,) = data.glob("sources/*.json")
    damage(note, how)
    before = tree(data)
    stores = str(world.unpacked)
    said = world.server.ask(scenario="plan", data=str(data), stores=stores)
    assert said is not None
    assert next(iter(said.values())) == "refused"
    assert tree(data) == before


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    touched=st.dictionaries(st.sampled_from(STEPS), st.sampled_from(list(DAMAGES)), max_size=3),
    seed=st.integers(0, 2**16),
)
def test_what_a_plan_says_is_what_is_done(
    world: World, undisturbed: Callable[[str], Undisturbed], touched: dict[str, str], seed: int
) -> None:
    oracle = undisturbed("run")
    data = world.folder / "run" / f"planned-{seed}-{len(list((world.folder / 'run').iterdir()))}"
    shutil.copytree(oracle.data, data, copy_function=os.link, ignore=shutil.ignore_patterns(".lock-*"))
    draw = random.Random(seed)
    for step, how in touched.items():
        folder = target(data, step)
        damage(draw.choice(sorted(path for path in folder.rglob("*") if path.is_file())), how)
    planned = world.server.ask(scenario="plan", data=str(data), stores=str(world.stores))
    assert planned is not None
    done = world.play("run", data)
    assert done is not None
    first = min(name for name in planned if name.startswith("ssl4eo"))
    names = {step: first if step == "unit" else step for step in STEPS}
    for step in STEPS:
        assert done[names[step]] == (step in touched)
        if step != "set":
            # Nothing is done that is not planned; a step that waits is done if what it has made before is not whole.
            assert planned[names[step]] in (("damaged", "waits") if step in touched else ("done", "waits"))
    if not touched:
        assert set(planned.values()) - {planned["operations"]} == {"done"}
    assert tree(data) == oracle.tree
    shutil.rmtree(data)


@pytest.mark.parametrize("runs", [2, 8])
def test_runs_at_once_make_each_artefact_once(
    world: World, undisturbed: Callable[[str], Undisturbed], runs: int
) -> None:
    oracle = undisturbed("run")
    data = world.copy("run", f"{runs} at once")
    with ThreadPoolExecutor(runs) as pool:
        said = list(pool.map(lambda _: world.play("run", data), range(runs)))
    for step in said[0] or {}:
        if step != "operations":
            assert sum(one[step] for one in said if one) == 1, step
    assert tree(data) == oracle.tree
    assert hidden(data) == []


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/St_Johns"])
def test_no_clock_and_no_time_of_a_file_has_a_part(
    world: World, undisturbed: Callable[[str], Undisturbed], tmp_path: Path, zone: str
) -> None:
    oracle = undisturbed("run")
    stores = tmp_path / "stores"
    shutil.copytree(world.stores, stores)
    data = tmp_path / "data"
    draw = random.Random(zone)
    for part in range(3):
        if part:
            # After the first round units are there, and lose one of them; after the second all is there.
            for path in (*data.rglob("*"), *stores.rglob("*")):
                moment = draw.choice((0, 4e9, 1e9, -1e8))
                os.utime(path, (moment, moment))
        if part == 1:
            shutil.rmtree(target(data, "unit"))
        said = world.server.ask(scenario="run", data=str(data), stores=str(stores), clock=zone)
        assert said is not None
        computed = sum(one is True for one in said.values())
        assert computed == (len(said) - 1, 1, 0)[part]
        assert tree(data) == oracle.tree


FILLED = ("unit", "set", "train", "embed", "evaluate", "report", "quantize", "ledger")


@pytest.mark.parametrize("scenario", FILLED)
def test_a_disk_that_is_full_is_said_and_a_rerun_goes_on(
    world: World, undisturbed: Callable[[str], Undisturbed], disk: Callable[[str], Path], scenario: str
) -> None:
    oracle = undisturbed(scenario)
    start = world.copy(scenario, "before the disk is full")
    written = sum(len(operation.data) for operation in oracle.operations)
    data = disk("size=2g") / "data"
    shutil.copytree(start, data)
    before = all_whole(data)
    used = shutil.disk_usage(data).used
    # The least that is left fails in the first file; the most in the last ones, or in the second checkpoint.
    for left in (4096, written // 2):
        disk(f"size={(used + left) // 4096 * 4096}")
        said = world.play(scenario, data)
        assert said is not None
        if "error" in said:
            assert said["error"] == "StorageError"
            assert "no space left" in said["message"]
            assert "Free some space" in said["message"]
        assert before.items() <= all_whole(data).items()
        assert [name for name in hidden(data) if name.startswith(".tmp-")] == []
        if left == 4096:
            assert "error" in said
    disk("size=2g")
    said = world.play(scenario, data)
    assert said is not None
    assert "error" not in said
    assert tree(data) == oracle.tree


@pytest.mark.parametrize("scenario", FILLED)
def test_output_that_is_read_only_is_said_before_anything_is_computed(
    world: World, undisturbed: Callable[[str], Undisturbed], disk: Callable[[str], Path], scenario: str
) -> None:
    data = disk("size=1g") / "data"
    shutil.copytree(world.copy(scenario, "before it is read-only"), data)
    before = tree(data)
    disk("ro")
    said = world.play(scenario, data, begun=True)
    assert said is not None
    assert said["error"] == "StorageError"
    assert "Read-only file system" in said["message"]
    assert "--data" in said["message"]
    assert said["begun"] == []
    assert tree(data) == before
    # Where it can be written to, the same run begins to make something; a ledger is no artefact.
    disk("rw")
    said = world.play(scenario, data, begun=True)
    assert said is not None
    assert len(said["begun"]) == (scenario != "ledger")

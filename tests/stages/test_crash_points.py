"""The writer of every kind of artefact is killed at every operation on files; a rerun ends as if nothing had been."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from crash_disk import EXCHANGE, RENAME, SYNC, WRITE, Operation
from crash_world import TARGETS, WITHOUT, Undisturbed, World, all_whole, hidden, read_log, tree, whole

from sarpipe.storage.artefact import MANIFEST, recoverable


def chosen(operations: list[Operation], *, few: bool) -> list[int]:
    """Points for a test that may not take long: some of each kind of operation, and the last of all."""
    few_of = {RENAME: 2, EXCHANGE: 1, SYNC: 1, WRITE: 1}
    shares, other = (few_of, 0) if few else ({RENAME: 3, EXCHANGE: 1, SYNC: 3, WRITE: 2}, 1)
    points = {len(operations)}
    for kind in {operation.kind for operation in operations}:
        numbers = [number for number, operation in enumerate(operations, 1) if operation.kind == kind]
        share = shares.get(kind, other)
        points |= {numbers[(i + 1) * len(numbers) // share - 1] for i in range(min(share, len(numbers)))}
    return sorted(points)


def kill_and_rerun(world: World, scenario: str, oracle: Undisturbed, point: int) -> None:
    data = world.copy(scenario, f"at-{point}")
    before = all_whole(data)
    assert world.play(scenario, data, kill_at=point) is None
    left = all_whole(data)
    if scenario != "gc":
        assert before.items() <= left.items()
    checkpoints = [folder for folder in left if folder.parent.name.endswith(".checkpoints")]
    targets = [data / Path(name).parent for name in oracle.tree if Path(name).name == MANIFEST]
    # What was finished and is not in its place yet is put there.
    missing = [folder for folder in targets if folder not in left and recoverable(folder, folder.name[-12:]) is None]

    again = world.play(scenario, data)

    assert again is not None
    assert tree(data) == oracle.tree
    assert hidden(data) == []
    # What was whole is the same file still, and what was not is what was made.
    now = all_whole(data)
    assert {folder: left[folder] for folder in left if folder in now} == {
        folder: now[folder] for folder in left if folder in now
    }
    if scenario != "gc" and "computed" in again:
        assert again["computed"] == bool(missing)
    if scenario == "train" and missing:
        assert again["resumed"] == max((int(folder.name[5:14]) for folder in checkpoints), default=0)
    shutil.rmtree(data)


@pytest.mark.parametrize("scenario", WITHOUT)
def test_killed_at_chosen_operations_a_rerun_ends_as_if_nothing_had_been(
    world: World, undisturbed: Callable[[str], Undisturbed], scenario: str
) -> None:
    oracle = undisturbed(scenario)
    # What takes longest to compute is killed at the fewest.
    points = chosen(oracle.operations, few=scenario in ("train", "embed"))
    with ThreadPoolExecutor(2) as both:
        list(both.map(lambda point: kill_and_rerun(world, scenario, oracle, point), points))


@pytest.mark.faults
@pytest.mark.parametrize("scenario", WITHOUT)
def test_killed_at_every_operation_a_rerun_ends_as_if_nothing_had_been(
    world: World, undisturbed: Callable[[str], Undisturbed], scenario: str
) -> None:
    oracle = undisturbed(scenario)
    points = range(1, len(oracle.operations) + 1)
    with ThreadPoolExecutor(2) as both:
        list(both.map(lambda point: kill_and_rerun(world, scenario, oracle, point), points))
    print(f"{scenario}: killed at {len(points)} points, lost 0")


REPLACED = ("evaluate", "report", "quantize", "set", "embed", "train")
"""Whose artefact is made although it is there."""


def replaced(world: World, oracle: Undisturbed, scenario: str, how: str, name: str) -> tuple[Path, Path]:
    """A copy in which the artefact is there, whole or damaged; it, and the artefact."""
    data = world.folder / scenario / name
    shutil.copytree(oracle.data, data, copy_function=os.link, ignore=shutil.ignore_patterns(".lock-*"))
    (folder,) = (path for path in data.glob(TARGETS[scenario]) if (path / MANIFEST).exists())
    if how == "damaged":
        file = min(
            path for path in folder.rglob("*") if path.is_file() and path.stat().st_size and path.name != MANIFEST
        )
        content = file.read_bytes()
        # Taken away first, as other copies are linked to the same file.
        file.unlink()
        file.write_bytes(content[:-1])
    return data, folder


def kill_a_replacement_and_rerun(
    world: World,
    oracle: Undisturbed,
    scenario: str,
    how: str,
    exchange: bool,
    points: Callable[[list[Operation]], list[int]],
) -> int:
    """Kill who replaces an artefact at these points; how many there were."""
    name = f"{how} {'exchanged' if exchange else 'renamed'}"
    options = {"force": how == "whole", "exchange": exchange}
    data, _ = replaced(world, oracle, scenario, how, f"{name} undisturbed")
    log = world.folder / f"{scenario} {name}.log"
    assert world.play(scenario, data, log=str(log), **options) is not None
    assert tree(data) == oracle.tree
    assert hidden(data) == []

    def kill(point: int) -> None:
        data, folder = replaced(world, oracle, scenario, how, f"{name} {point}")
        before = all_whole(data)
        assert world.play(scenario, data, kill_at=point, **options) is None
        in_place = whole(folder) is not None
        there = in_place or recoverable(folder, folder.name[-12:]) is not None
        # One of the two is whole at any moment, and in place where they can change places at once.
        assert there or how == "damaged"
        assert in_place or how == "damaged" or not exchange
        assert before.keys() - {folder} <= all_whole(data).keys()

        again = world.play(scenario, data)

        assert again is not None
        assert again["computed"] is not there
        assert tree(data) == oracle.tree
        assert hidden(data) == []
        shutil.rmtree(data)

    killed_at = points(read_log(log))
    with ThreadPoolExecutor(2) as both:
        list(both.map(kill, killed_at))
    return len(killed_at)


def around_the_change(operations: list[Operation]) -> list[int]:
    """The operation by which an artefact comes to its place, and those before and after it."""
    last = max(
        number
        for number, operation in enumerate(operations, 1)
        if operation.kind in (RENAME, EXCHANGE)
        and Path(operation.path).name.startswith(".tmp-")
        and not Path(operation.other).name.startswith(".")
        and not Path(operation.other).suffix
    )
    return [number for number in range(last - 1, last + 4) if number <= len(operations)]


@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("how", ["whole", "damaged"])
def test_killed_while_it_replaces_neither_the_old_nor_the_new_is_lost(
    world: World, undisturbed: Callable[[str], Undisturbed], how: str, exchange: bool
) -> None:
    kill_a_replacement_and_rerun(world, undisturbed("evaluate"), "evaluate", how, exchange, around_the_change)


@pytest.mark.faults
@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("how", ["whole", "damaged"])
@pytest.mark.parametrize("scenario", REPLACED)
def test_killed_at_every_operation_of_a_replacement_neither_the_old_nor_the_new_is_lost(
    world: World, undisturbed: Callable[[str], Undisturbed], scenario: str, how: str, exchange: bool
) -> None:
    def points(operations: list[Operation]) -> list[int]:
        few = scenario in ("train", "embed")
        return chosen(operations, few=True) if few else list(range(1, len(operations) + 1))

    killed = kill_a_replacement_and_rerun(world, undisturbed(scenario), scenario, how, exchange, points)
    print(f"{scenario}, {how}, {'exchanged' if exchange else 'renamed'}: killed at {killed} points, lost 0")

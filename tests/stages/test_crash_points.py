"""The writer of every kind of artefact is killed at every operation on files; a rerun ends as if nothing had been."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from crash_disk import RENAME, SYNC, WRITE, Operation
from crash_world import WITHOUT, Undisturbed, World, all_whole, hidden, tree

from sarpipe.storage.artefact import MANIFEST


def chosen(operations: list[Operation], *, few: bool) -> list[int]:
    """Points for a test that may not take long: some of each kind of operation, and the last of all."""
    shares, other = ({RENAME: 2, SYNC: 1, WRITE: 1}, 0) if few else ({RENAME: 3, SYNC: 3, WRITE: 2}, 1)
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
    missing = [folder for folder in targets if folder not in left]

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

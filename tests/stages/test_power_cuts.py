"""A power cut at any moment takes nothing that was committed; a rerun ends as if nothing had been."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from crash_disk import CREATE, EXCHANGE, NOTHING, RENAME, RMDIR, SYNC, UNLINK, WRITE, Disk, Folder, Operation
from crash_world import WITHOUT, Undisturbed, World, hidden, tree

from sarpipe.storage.artefact import MANIFEST


def visible(found: dict[str, bytes]) -> dict[str, bytes]:
    noted = ("energy/", "runs/")
    return {name: data for name, data in found.items() if ".lock-" not in name and not name.startswith(noted)}


@pytest.mark.parametrize("scenario", WITHOUT)
def test_no_operation_is_missed(world: World, undisturbed: Callable[[str], Undisturbed], scenario: str) -> None:
    """Played again from the log, the operations give the very files: so none of them went past the count."""
    oracle = undisturbed(scenario)
    disk = Disk(world.copy(scenario, "played"), oracle.data)
    for operation in oracle.operations:
        disk.play(operation)
    assert visible(disk.seen()) == oracle.tree


class Promises:
    """What a power cut must leave: of each artefact, and of each small file beside them, what was synced last, or what
    has taken its place since.

    Args:
        disk: Before the first operation. All that is there is promised.
        root: Of the paths in the log.
    """

    def __init__(self, disk: Disk, root: Path) -> None:
        self._disk, self._root = disk, root
        self._pending: dict[str, dict[str, bytes]] = {}
        seen = visible(disk.seen())
        artefacts = {str(Path(name).parent) for name in seen if Path(name).name == MANIFEST}
        small = {name for name in seen if not any(str(above) in artefacts for above in Path(name).parents)}
        self.kept = {name: [self._now(name)] for name in artefacts | small}

    def note(self, operation: Operation) -> None:
        """One more operation, which the disk has played."""
        name, other = (self._disk.name(path) if path else "" for path in (operation.path, operation.other))
        if operation.kind == RENAME:
            self.kept.pop(name, None)
        if operation.kind in (RENAME, EXCHANGE) and self._is_promised(other):
            self._pending[other] = self._now(other)
            if other in self.kept:
                self.kept[other].append(self._pending[other])
        elif operation.kind == SYNC:
            for synced in [one for one in self._pending if str(Path(one).parent) == name]:
                self.kept[synced] = [self._pending.pop(synced)]
        elif operation.kind in (UNLINK, RMDIR):
            self.kept = {
                one: files for one, files in self.kept.items() if one != name and not name.startswith(f"{one}/")
            }

    def check(self, left: dict[str, bytes], after: object) -> None:
        """See that what a power cut has left is what was promised."""
        for allowed in self.kept.values():
            assert any({name: left.get(name) for name in files} == files for files in allowed), after

    def _is_promised(self, name: str) -> bool:
        node = self._disk.at(str(self._root / name))
        is_ours = MANIFEST in node.entries if isinstance(node, Folder) else name not in ("", ".")
        return is_ours and not any(part.startswith(".") for part in Path(name).parts) and not name.startswith("runs/")

    def _now(self, name: str) -> dict[str, bytes]:
        seen = self._disk.seen()
        return {path: data for path, data in seen.items() if path == name or path.startswith(f"{name}/")}


def cut_everywhere(start: Path, oracle: Undisturbed, operations: list[Operation]) -> None:
    """Cut the power after each sync, rename and removal, and see what is left."""
    disk = Disk(start, oracle.data)
    promises = Promises(disk, oracle.data)
    for number, operation in enumerate(operations):
        disk.play(operation)
        promises.note(operation)
        if operation.kind in (NOTHING, WRITE, CREATE):
            continue
        for how, seed in (("least", 0), ("names", 0), ("chance", number), ("chance", -number)):
            promises.check(disk.after_power_cut(how, seed), (how, operation))
    # What is there when it has ended stays; what was removed may come back.
    left, seen = disk.after_power_cut("least"), visible(disk.seen())
    assert {name: left.get(name) for name in seen} == seen


def with_older(world: World, oracle: Undisturbed, scenario: str) -> Path:
    """What a scenario starts from, with an older version of each small file that it writes."""
    start = world.copy(scenario, f"before power cuts {len(list((world.folder / scenario).iterdir()))}")
    manifests = {Path(name).parent for name in oracle.tree if Path(name).name == MANIFEST}
    small = [name for name in oracle.tree if not manifests & set(Path(name).parents)]
    small += [str(path.relative_to(oracle.data)) for path in oracle.data.glob("energy/*.json")]
    written = {Path(operation.other) for operation in oracle.operations if operation.kind == RENAME}
    for name in small:
        if oracle.data / name in written:
            (start / name).parent.mkdir(parents=True, exist_ok=True)
            (start / name).unlink(missing_ok=True)
            (start / name).write_bytes(b"an older version")
    return start


@pytest.mark.parametrize("scenario", WITHOUT)
def test_a_power_cut_takes_nothing_that_was_committed(
    world: World, undisturbed: Callable[[str], Undisturbed], scenario: str
) -> None:
    oracle = undisturbed(scenario)
    cut_everywhere(with_older(world, oracle, scenario), oracle, oracle.operations)


@pytest.mark.parametrize(("scenario", "small"), [("set", "current.json"), ("ledger", ".json"), ("record", "")])
def test_a_small_file_that_was_not_synced_before_its_rename_is_noticed(
    world: World, undisturbed: Callable[[str], Undisturbed], scenario: str, small: str
) -> None:
    """Of the test itself: it fails for a writer who does not sync."""
    oracle = undisturbed(scenario)
    start = with_older(world, oracle, scenario)

    def is_small(path: str) -> bool:
        return Path(path).name.startswith(".tmp-") and small in path

    unsynced = [one for one in oracle.operations if one.kind != SYNC or not is_small(one.path)]
    assert len(unsynced) < len(oracle.operations)
    with pytest.raises(AssertionError):
        cut_everywhere(start, oracle, unsynced)


@pytest.mark.parametrize("scenario", ["unit", "set", "ledger"])
def test_folders_that_were_not_synced_are_noticed(
    world: World, undisturbed: Callable[[str], Undisturbed], scenario: str
) -> None:
    oracle = undisturbed(scenario)
    start = with_older(world, oracle, scenario)
    unsynced = [one for one in oracle.operations if one.kind != SYNC or not Path(one.path).is_dir()]
    with pytest.raises(AssertionError):
        cut_everywhere(start, oracle, unsynced)


def after_cut_and_rerun(world: World, scenario: str, oracle: Undisturbed, number: int, how: str) -> None:
    data = world.copy(scenario, f"cut-{number}-{how}")
    disk = Disk(data, oracle.data)
    for operation in oracle.operations[:number]:
        disk.play(operation)
    shutil.rmtree(data)
    for name, content in disk.after_power_cut(how, number).items():
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_bytes(content)
    assert world.play(scenario, data) is not None
    assert tree(data) == oracle.tree
    assert hidden(data) == []
    shutil.rmtree(data)


@pytest.mark.faults
@pytest.mark.parametrize("scenario", WITHOUT)
def test_after_a_power_cut_at_any_rename_or_sync_a_rerun_ends_as_if_nothing_had_been(
    world: World, undisturbed: Callable[[str], Undisturbed], scenario: str
) -> None:
    oracle = undisturbed(scenario)
    cuts = [
        (number, how)
        for number, operation in enumerate(oracle.operations, 1)
        if operation.kind in (RENAME, EXCHANGE, SYNC)
        for how in ("least", "names", "chance")
    ]
    with ThreadPoolExecutor(2) as both:
        list(both.map(lambda cut: after_cut_and_rerun(world, scenario, oracle, *cut), cuts))
    print(f"{scenario}: {len(cuts)} power cuts, lost 0")

"""A power cut at any moment takes nothing that was committed; a rerun ends as if nothing had been."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from crash_disk import CREATE, NOTHING, RENAME, RMDIR, SYNC, UNLINK, WRITE, Disk, Folder, Operation
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


@dataclass
class Promises:
    """What a power cut must leave as it is: artefacts whose rename was synced, until they are taken away."""

    disk: Disk
    renamed: dict[str, Operation]
    kept: dict[str, dict[str, bytes]]

    def note(self, operation: Operation) -> None:
        name = operation.path
        if operation.kind == RENAME:
            self.kept = {folder: files for folder, files in self.kept.items() if folder != name}
            node = self.disk.at(operation.other)
            if isinstance(node, Folder) and MANIFEST in node.entries and not Path(operation.other).name.startswith("."):
                self.renamed[operation.other] = operation
        elif operation.kind == SYNC:
            for folder in [folder for folder in self.renamed if str(Path(folder).parent) == name]:
                del self.renamed[folder]
                prefix = self.disk.name(folder) + "/"
                self.kept[folder] = {path: data for path, data in self.disk.seen().items() if path.startswith(prefix)}
        elif operation.kind in (UNLINK, RMDIR):
            self.kept = {folder: files for folder, files in self.kept.items() if not name.startswith(folder + "/")}


@pytest.mark.parametrize("scenario", WITHOUT)
def test_a_power_cut_takes_nothing_that_was_committed(
    world: World, undisturbed: Callable[[str], Undisturbed], scenario: str
) -> None:
    oracle = undisturbed(scenario)
    start = world.copy(scenario, "before power cuts")
    notes = {name: data for name, data in tree(start).items() if Path(name).name == "current.json"}
    disk = Disk(start, oracle.data)
    promises = Promises(disk, {}, {})
    promised = 0
    for number, operation in enumerate(oracle.operations):
        disk.play(operation)
        promises.note(operation)
        if operation.kind in (NOTHING, WRITE, CREATE):
            continue
        for how, seed in (("least", 0), ("names", 0), ("chance", number), ("chance", -number)):
            left = disk.after_power_cut(how, seed)
            for files in promises.kept.values():
                assert {name: left.get(name) for name in files} == files, (how, operation)
                promised += 1
            for name in oracle.tree:
                if Path(name).name == "current.json":
                    assert left.get(name) in (notes.get(name), oracle.tree[name])
    assert promised or scenario in ("ledger", "record", "gc")


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
        if operation.kind in (RENAME, SYNC)
        for how in ("least", "names", "chance")
    ]
    with ThreadPoolExecutor(2) as both:
        list(both.map(lambda cut: after_cut_and_rerun(world, scenario, oracle, *cut), cuts))
    print(f"{scenario}: {len(cuts)} power cuts, lost 0")

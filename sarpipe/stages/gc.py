"""Collect garbage: remove what can never be of use from an output folder, and nothing else."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

from sarpipe.errors import DamagedError, UsageError
from sarpipe.stages.belonging import digests_of, sets_of_list, units_of
from sarpipe.stages.inventory import (
    CHECKPOINTS,
    KEY_DIGITS,
    artefacts,
    current_sets,
    damaged_current,
    kind_by,
    left_files,
    left_folders,
    listed_parquet,
    maker,
    parquet_lists,
    size_of,
    to_put_back,
)
from sarpipe.stages.verify import Look, OnArtefact, examine, verify
from sarpipe.storage import Artefact, address, code_version, inspect
from sarpipe.storage.artefact import MANIFEST, remove, sweep
from sarpipe.storage.durable import is_abandoned, remove_abandoned, storage_errors
from sarpipe.storage.lock import exclusive, is_held, unused

_PRODUCTS = ("model", "embeddings", "smaller form", "report", "study", "scores")
"""What people take away, of whatever version: never garbage. A model may have taken days, and embeddings of another
output folder may be its."""
_LISTED = ("set", "Parquet of a unit")
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Garbage:
    """One thing that can go.

    Attributes:
        path: It.
        why: In words.
        bytes: Of its files.
        remove: Removes it, if it is still as it was found; whether it was. While a run has its lock it stays.
    """

    path: Path
    why: str
    bytes: int
    remove: Callable[[], bool] = field(repr=False)


def find_garbage(data: Path, on_artefact: OnArtefact) -> tuple[list[Garbage], list[Look]]:
    """What can go, and what is damaged or could not be read, which stays; nothing is changed.

    Garbage is: what killed runs left; checkpoints of a training whose model is there; and artefacts that were made by
    another version of a stage's code than this one, unless something that stays was made from them, or somebody has
    put files beside theirs. Models, embeddings, reports, studies and their scores stay whatever their version, and all
    that they were made from. What is damaged may be whole in all that somebody needs of it: a rerun makes it anew.

    Args:
        data: From `sarpipe.stages.search.output_folder`.
        on_artefact: For progress: everything is verified first.

    Raises:
        UsageError: The output is at a URL: other machines may use it, and no lock tells.
    """
    _check_local(data)
    looks = verify(data, on_artefact).looks
    stays = [look for look in looks if look.state in ("damaged", "unreadable")]
    return [*_left(data), *_checkpoints(looks), *_outdated(data, looks)], stays


def put_back(data: Path, *, dry_run: bool = False) -> Iterator[Path]:
    """Put in its place what killed runs have finished, or set aside, where nothing whole is there: it is no garbage.

    Yields:
        The artefacts that were put back, or with ``dry_run`` those that could be.

    Raises:
        UsageError: The output is at a URL.
        StorageError: The folder cannot be written to.
    """
    _check_local(data)
    for folder in sorted({folder for _, folder in left_folders(data)}):
        if is_held(maker(folder)) or to_put_back(folder) is None:
            continue
        if dry_run or _locked(folder, _swept)():
            yield folder


def _check_local(data: Path) -> None:
    if address(data) != str(data):
        raise UsageError(
            f"{address(data)} may be in use by other machines, and no lock tells",
            "Remove what you know to be useless with the tools of the store; 'sarpipe verify' names what is damaged",
        )


def _swept(folder: Path) -> bool:
    return sweep(folder, folder.name[-KEY_DIGITS:])


def collect(garbage: Iterable[Garbage]) -> Iterator[Garbage]:
    """Remove garbage, one thing at a time; what a run has taken up since it was found stays.

    Safe beside runs: each thing is removed under the lock of who makes it, and an artefact only while no run is under
    way that could have taken it up, and if still nothing was made from it. Safe when killed: an artefact leaves its
    place by one rename.

    Yields:
        What was removed.

    Raises:
        StorageError: The folder cannot be written to.
    """
    yield from (one for one in garbage if one.remove())


def _left(data: Path) -> Iterator[Garbage]:
    why = "left by a run that was killed"
    for path, folder in left_folders(data):
        if not is_held(maker(folder)) and path != to_put_back(folder):
            yield Garbage(path, why, size_of(path), _locked(folder, _swept))
    for path in left_files(data):
        if is_abandoned(path):
            yield Garbage(path, why, size_of(path), partial(remove_abandoned, path))


def _checkpoints(looks: Sequence[Look]) -> Iterator[Garbage]:
    """Those of a training that was killed between the end of its last step and their removal."""
    for look in looks:
        folder = look.folder.with_name(look.folder.name + CHECKPOINTS)

        def remove(model: Path, look: Look = look, folder: Path = folder) -> bool:
            if examine(model, look.kind).state != "whole" or not folder.is_dir():
                return False
            shutil.rmtree(folder)
            return True

        if look.kind.name == "model" and look.state == "whole" and folder.is_dir() and not is_held(look.folder):
            why = "checkpoints of a training whose model is there"
            yield Garbage(folder, why, size_of(folder), _locked(look.folder, remove))


def _garbage(data: Path, look: Look, looks: Mapping[Path, Look]) -> Garbage:
    why = "made by another version of the code, and nothing that stays was made from it"

    def removed(folder: Path) -> bool:
        with unused(data):
            if folder not in _useless(data, _looks_now(data, looks)):
                return False
            now = examine(folder, look.kind)
            if now.state != "whole" or now.artefact != look.artefact or now.beside:
                return False
            remove(folder)
            return True

    return Garbage(look.folder, why, size_of(look.folder), _locked(look.folder, removed))


def _locked(folder: Path, removed: Callable[[Path], bool]) -> Callable[[], bool]:
    def remove_unless_held() -> bool:
        try:
            with exclusive(maker(folder), wait=False), storage_errors(folder):
                return removed(folder)
        except BlockingIOError:
            return False

    return remove_unless_held


def _outdated(data: Path, looks: Sequence[Look]) -> Iterator[Garbage]:
    known = {look.folder: look for look in looks}
    useless = _useless(data, known)
    # Sets before their units: who is killed in between leaves none that names what is gone.
    for folder in sorted(useless, key=lambda folder: (known[folder].kind.name != "set", folder)):
        yield _garbage(data, known[folder], known)


def _looks_now(data: Path, before: Mapping[Path, Look]) -> dict[Path, Look]:
    """What lies there now, by the manifests alone: what has another one than before counts as under way."""
    looks = {}
    for folder, kind in artefacts(data):
        look = before.get(folder)
        try:
            artefact = _inspected(folder, _signature(folder))
        except (OSError, DamagedError):
            artefact = None
        same = look is not None and look.artefact == artefact
        now = Look(folder, kind_by(kind, artefact), artefact, (), "under way")
        looks[folder] = look if look is not None and same else now
    return looks


def _signature(folder: Path) -> tuple[int, ...]:
    status = (folder / MANIFEST).stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


@lru_cache(maxsize=1 << 16)
def _inspected(folder: Path, signature: tuple[int, ...]) -> Artefact:
    """The manifest, read again where the system says that it is another: it is looked at before each removal."""
    return inspect(folder)


def _useless(data: Path, known: Mapping[Path, Look]) -> set[Path]:
    """The artefacts that another version has made, and that nothing needs which stays."""
    whole = {folder: look for folder, look in known.items() if look.state == "whole"}
    # Checkpoints of a training whose model is there need nothing, also where their own removal was broken off.
    needless = {
        folder.with_name(folder.name + CHECKPOINTS) for folder, look in whole.items() if look.kind.name == "model"
    }
    if any(look.artefact is None and folder.parent not in needless for folder, look in known.items()):
        # What it was made from is not known.
        return set()
    codes = _codes()
    outdated = {
        folder
        for folder, look in whole.items()
        if look.kind.name in codes and _meta(look).get("code") != codes[look.kind.name]
    }
    products = {folder for folder, look in whole.items() if look.kind.name in _PRODUCTS}
    roots = (known.keys() - outdated) | products | _current_sets(data, whole) | _listed(data, whole, known)
    kept = _with_origins(roots | {folder for folder, look in whole.items() if look.beside}, known)
    return whole.keys() - kept


def _current_sets(data: Path, whole: Mapping[Path, Look]) -> set[Path]:
    """The sets that the later stages take, whatever version made them; all of a recipe whose note is damaged."""
    unknown = {note.parent for note, _ in damaged_current(data)}
    sets = {folder for folder, look in whole.items() if look.kind.name == "set" and folder.parent in unknown}
    return sets | (current_sets(data) & whole.keys())


def _listed(data: Path, whole: Mapping[Path, Look], known: Mapping[Path, Look]) -> set[Path]:
    """The Parquet files that people are told to read, and the sets whose they are; all of a recipe where it is not
    known which.
    """
    kept = set()
    for note in parquet_lists(data):
        listed = listed_parquet(note)
        sets = sets_of_list(listed, known) if listed else None
        if sets is None:
            recipe = note.parent.parent
            kept |= {one for one in whole if recipe in one.parents and whole[one].kind.name in _LISTED}
        else:
            kept |= {*listed, *sets} & whole.keys()
    return kept


def _with_origins(roots: set[Path], known: Mapping[Path, Look]) -> set[Path]:
    """These artefacts, and all that they were made from, as their inputs say."""
    makers: dict[str, list[Path]] = {}
    for folder, look in known.items():
        for digest in digests_of(look):
            makers.setdefault(digest, []).append(folder)
    kept, todo = set(roots), sorted(roots)
    while todo:
        look = known[todo.pop()]
        needed = [known[folder] for folder in units_of(look) if folder in known]
        for digest in _digests_in(_meta(look).get("inputs")):
            found = makers.get(digest, [])
            # The same cubes by another version are not needed twice. Of models the folders are named too.
            there = (known[folder] for folder in found if folder in kept)
            if not any(look.state == "whole" and look.kind.name != "model" for look in there):
                needed += [known[folder] for folder in found]
        new = {one.folder for one in needed} - kept
        kept |= new
        todo += sorted(new)
    return kept


def _digests_in(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for below in value.values():
            yield from _digests_in(below)
    elif isinstance(value, str) and _DIGEST.fullmatch(value):
        yield value


def _meta(look: Look) -> Mapping[str, Any]:
    return {} if look.artefact is None else look.artefact.meta


@cache
def _codes() -> dict[str, str]:
    """The versions that the stages' code has now, by the kind of what it makes."""
    # Imported here, as these take seconds that 'sarpipe verify' need not wait.
    from sarpipe.stages import cube_set, cubes_parquet, evaluate, preprocess, search

    parts = {
        "set": cube_set.CODE,
        "unit": preprocess.CODE,
        "Parquet of a unit": cubes_parquet.CODE,
        "evaluation": evaluate.CODE,
        "index": search.CODE,
    }
    return {kind: code_version(code) for kind, code in parts.items()}

"""What lies below an output folder: the artefacts, each of its kind, small files with checksums, leftovers."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sarpipe.errors import DamagedError
from sarpipe.storage import Artefact, digest_json, folders, read_small, small_files
from sarpipe.storage.artefact import leftovers, recoverable
from sarpipe.storage.durable import temporaries

CHECKPOINTS = ".checkpoints"
_BETWEEN_SECONDS = 0.3
"""Longer than two small files take to be put in place."""
KEY_DIGITS = 12
"""Of the key, at the end of the name of an artefact's folder."""
PARQUET_FILE, PARQUET_LIST = "cubes.parquet", "files.txt"
"""Of a unit as Parquet, and the list of them."""
_LISTED = re.compile(rf"([^/\n]+-[0-9a-f]{{{KEY_DIGITS}}})/{re.escape(PARQUET_FILE)}\n")


@dataclass(frozen=True)
class Kind:
    """What an artefact is, as its place and name tell also where its manifest is damaged.

    Attributes:
        name: In words.
        home: The folders that it lies in, a pattern below the output folder.
        label: Regular expression of the start of its name, before the key.
        again: The command that makes it anew.
    """

    name: str
    home: str
    label: str
    again: str


_PREPROCESS = "sarpipe preprocess SOURCE"
_PARQUET = "cubes/*/parquet"
KINDS = (
    Kind("set", "cubes/*", "set", _PREPROCESS),
    Kind("unit", "cubes/*", ".+", _PREPROCESS),
    Kind("Parquet of a unit", _PARQUET, ".+", f"{_PREPROCESS} --format parquet"),
    Kind("checkpoint", f"models/*{CHECKPOINTS}", r"step-\d{9}", "sarpipe train"),
    Kind("model", "models", ".+", "sarpipe train"),
    Kind("smaller form", "embeddings", "float16|int8|binary|pca_int8|pq", "sarpipe quantize FORM"),
    Kind("embeddings", "embeddings", ".+", "sarpipe embed"),
    Kind("evaluation", "reports", "evaluation", "sarpipe evaluate"),
    Kind("study", "reports", "study", "sarpipe study"),
    Kind("report", "reports", ".+", "sarpipe report"),
    Kind("scores", "scores", "scores", "sarpipe study"),
    Kind("index", "search", "index", "sarpipe search"),
)
"""The first that fits is the kind of a folder."""
_HOMES = tuple(dict.fromkeys(kind.home for kind in KINDS))
_SMALL = ("sources", "quarantine", "energy", "runs", "cubes/*", _PARQUET)
"""Where small files are written that are no part of an artefact."""


def artefacts(data: Path) -> list[tuple[Path, Kind]]:
    """All folders of an output folder that have the place and the name of an artefact, whole or not."""
    found = []
    for home in _HOMES:
        for parent in _parents(data, home):
            for folder in folders(parent):
                kind = _kind(home, folder.name)
                if kind is not None:
                    found.append((folder, kind))
    return found


def damaged_notes(data: Path) -> Iterator[tuple[Path, str]]:
    """Small files that are damaged, as far as they have checksums, and what to do about each."""
    yield from damaged_current(data)
    for note in _quarantine_lists(data / "quarantine"):
        if not _is_list_intact(note):
            yield note, f"'{_PREPROCESS}' writes it anew"
    for note in small_files(data / "energy", ".json"):
        if not _is_intact(note, "energy"):
            yield note, "Delete it: it says only what embedding took"
    for note in small_files(data / "sources", ".json"):
        if not _is_intact(note, "files"):
            yield note, "Delete it: 'sarpipe preprocess' takes the checksums of that store anew"


def damaged_current(data: Path) -> Iterator[tuple[Path, str]]:
    """As `damaged_notes`, those that say which set is the current one of a recipe."""
    for recipe in folders(data / "cubes"):
        for note in small_files(recipe, "current.json"):
            if not _is_intact(note, "set"):
                yield note, f"'{_PREPROCESS}' writes it anew"
            elif recipe / current(note) not in folders(recipe):
                yield note, f"it names {current(note)}, which is gone: '{_PREPROCESS}' makes it anew"


def current(note: Path) -> str:
    """The name of the set that an intact ``current.json`` names."""
    return str(json.loads(read_small(note))["set"])


def current_sets(data: Path) -> set[Path]:
    """The folders that intact ``current.json`` name: the sets that the later stages take."""
    damaged = {note for note, _ in damaged_current(data)}
    notes = (note for recipe in folders(data / "cubes") for note in small_files(recipe, "current.json"))
    return {note.parent / current(note) for note in notes if note not in damaged}


def parquet_lists(data: Path) -> list[Path]:
    """The lists of Parquet files, one a recipe at most."""
    found = (note for recipe in folders(data / "cubes") for note in small_files(recipe / "parquet", PARQUET_LIST))
    return [note for note in found if note.name == PARQUET_LIST]


def listed_parquet(note: Path) -> list[Path]:
    """The units as Parquet that a list names, in its order; none where it is no list of such to the end of its last
    line.
    """
    try:
        text = read_small(note).decode()
    except (UnicodeDecodeError, FileNotFoundError):
        return []
    names = _LISTED.findall(text)
    intact = text == "".join(f"{name}/{PARQUET_FILE}\n" for name in names) and len(set(names)) == len(names)
    return [note.parent / name for name in names] if intact else []


def to_put_back(folder: Path) -> Path | None:
    """What killed runs have left of an artefact and is whole, where nothing whole is in its place; None also where the
    system does not say. Changes nothing.
    """
    with suppress(OSError):
        return recoverable(folder, folder.name[-KEY_DIGITS:])
    return None


def left_folders(data: Path) -> Iterator[tuple[Path, Path]]:
    """Folders that are being filled, replaced or removed, or were when who did so was killed; the artefact of each."""
    for home in _HOMES:
        for parent in _parents(data, home):
            yield from ((path, folder) for path, folder in leftovers(parent) if _kind(home, folder.name) is not None)


def left_files(data: Path) -> Iterator[Path]:
    """Small files that are being written, or were when their writer was killed."""
    for home in _SMALL:
        for parent in _parents(data, home):
            yield from temporaries(parent) if parent.is_dir() else ()


def maker(folder: Path) -> Path:
    """The folder whose lock the maker of an artefact holds: a checkpoint is made by who makes its model."""
    above = folder.parent
    return above.with_name(above.name.removesuffix(CHECKPOINTS)) if above.name.endswith(CHECKPOINTS) else folder


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    below = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]
    return sum(file.lstat().st_size for file in below if file.is_symlink() or file.is_file())


def _parents(data: Path, home: str) -> list[Path]:
    """The folders that a pattern stands for, at the URL if the output is there."""
    found = [data]
    for part in home.split("/"):
        if "*" in part:
            pattern = re.compile(re.escape(part).replace(r"\*", ".+"))
            found = [below for parent in found for below in folders(parent) if pattern.fullmatch(below.name)]
        else:
            found = [parent / part for parent in found]
    return found


def kind_by(kind: Kind, artefact: Artefact | None) -> Kind:
    """What an artefact is whose place and name say so much, by its manifest where that can be read.

    A store could once be called ``set``: its unit has the name of a set, and is made of no units.
    """
    if artefact is None or kind.name != "set" or "units" in artefact.meta.get("inputs", {}):
        return kind
    return next(one for one in KINDS if one.name == "unit")


def _kind(home: str, name: str) -> Kind | None:
    for kind in KINDS:
        if kind.home == home and re.fullmatch(f"({kind.label})-[0-9a-f]{{{KEY_DIGITS}}}", name):
            return kind
    return None


def _quarantine_lists(parent: Path) -> list[Path]:
    """The Parquet files of the lists, also of one of which the CSV alone is there: nothing tells whether that is what
    was written. CSVs of other names are somebody's.
    """
    of_csv = (note for note in small_files(parent, ".csv") if re.fullmatch(r".+-[0-9a-f]{8}", note.stem))
    return sorted({*small_files(parent, ".parquet"), *(note.with_suffix(".parquet") for note in of_csv)})


def _is_list_intact(note: Path) -> bool:
    """Whether a list of the quarantine is what was written, in both its files. They are written one after the other, so
    it is looked at twice.
    """
    if _agree(note):
        return True
    time.sleep(_BETWEEN_SECONDS)
    return _agree(note)


def _agree(note: Path) -> bool:
    # Imported here: what reads tables takes seconds to import, and is needed only where there are some.
    from sarpipe.stages.quarantine import as_csv, read_list

    try:
        return read_small(note.with_suffix(".csv")) == as_csv(read_list(note))
    except (FileNotFoundError, DamagedError):
        return False


def _is_intact(note: Path, content: str) -> bool:
    try:
        document = json.loads(read_small(note))
        return bool(document["checksum"] == digest_json(document[content]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return False

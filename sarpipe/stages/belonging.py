"""What belongs together below an output folder: units to sets, Parquet files to their list, what a thing was made from
to it. Each may be whole by itself and another be gone. It is asked of the manifests: no file is read again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from sarpipe.stages.inventory import KEY_DIGITS, current_sets, listed_parquet, parquet_lists, to_put_back
from sarpipe.storage import folders

if TYPE_CHECKING:
    from sarpipe.stages.verify import Look

_PREPROCESS = "sarpipe preprocess SOURCE"
_AGAIN = f"'{_PREPROCESS}' makes it anew"
_AS_PARQUET = f"'{_PREPROCESS} --format parquet' makes it anew"
_OTHER = "is not the one that the set was made from"
_MADE_FROM_OTHERS = ("model", "embeddings", "smaller form", "evaluation", "report")
_MADE_BY = {
    "cubes": _PREPROCESS,
    "set": _PREPROCESS,
    "model": "sarpipe train",
    "embeddings": "sarpipe embed",
    "evaluation": "sarpipe evaluate",
}
"""What makes an input, by its name. Labels that somebody has given are not ours."""


def digests_of(look: Look) -> list[str]:
    """By which digests others name it as their input."""
    if look.artefact is None:
        return []
    if look.kind.name != "set":
        return [look.artefact.digest]
    # Imported here, as it brings pandas.
    from sarpipe.stages.places import cubes_digest

    return [look.artefact.digest, cubes_digest(look.artefact)]


def units_of(look: Look) -> dict[Path, str | None]:
    """The units of a set, in their order, and the digest of each that it was made from; of anything else none."""
    if look.kind.name != "set" or look.artefact is None:
        return {}
    inputs = look.artefact.meta["inputs"]
    return {
        look.folder.parent / name: inputs["units"].get(name[: -KEY_DIGITS - 1])
        for name in map(str, inputs.get("folders", []))
    }


def sets_of_list(listed: Sequence[Path], known: Mapping[Path, Look]) -> list[Path] | None:
    """The sets of just these Parquet files; None where a manifest that would say cannot be read.

    Args:
        listed: From `listed_parquet`; one at least.
        known: All, by their folders.
    """
    files = [known[folder].artefact if folder in known else None for folder in listed]
    sets = _sets_of(listed[0].parent.parent, known)
    if any(look.artefact is None or "folders" not in look.artefact.meta["inputs"] for look in sets):
        return None
    digests = [None if artefact is None else artefact.meta["inputs"]["unit"] for artefact in files]
    return None if None in digests else [look.folder for look in sets if list(units_of(look).values()) == digests]


def broken(data: Path, known: Mapping[Path, Look]) -> Iterator[tuple[Path, str]]:
    """What is of no use, as what belongs to it is gone or is another, and what to do about each.

    Args:
        data: The output folder.
        known: All that was found there, by their folders.
    """
    current = current_sets(data)
    for folder, look in known.items():
        if look.state == "whole":
            lost = [f"unit {unit.name} is gone" for unit in _gone(units_of(look), known)]
            if folder in current:
                lost += [f"unit {unit.name} {_OTHER}" for unit in _replaced(look, known)]
            yield from ((folder, f"{why}: {_AGAIN}") for why in lost)
    for note in parquet_lists(data):
        why = _wrong_list(note, known)
        if why is not None:
            yield note, f"{why}: {_AS_PARQUET}"


def remarks(data: Path, known: Mapping[Path, Look]) -> Iterator[str]:
    """What somebody may have done on purpose: sets of before whose units were made anew of other bytes, as where places
    were mended; and what things were made from that is nowhere.
    """
    current = current_sets(data)
    for folder, look in known.items():
        if look.state == "whole" and folder not in current:
            for unit in _replaced(look, known):
                yield f"a set of before, of no use any more: {folder}: unit {unit.name} {_OTHER}"
    if all(look.artefact is not None for look in known.values()):
        yield from _inputs_that_are_gone(known.values())


def _sets_of(recipe: Path, known: Mapping[Path, Look]) -> list[Look]:
    return [look for look in known.values() if look.kind.name == "set" and look.folder.parent == recipe]


def _gone(wanted: Iterable[Path], known: Mapping[Path, Look]) -> Iterator[Path]:
    """Folders that are nowhere: neither made meanwhile, nor left beside their place by a kill."""
    for folder in wanted:
        if folder not in known and folder not in folders(folder.parent) and to_put_back(folder) is None:
            yield folder


def _replaced(look: Look, known: Mapping[Path, Look]) -> Iterator[Path]:
    """The units of a set that are there with other bytes, by their manifests."""
    for unit, digest in units_of(look).items():
        artefact = known[unit].artefact if unit in known else None
        if artefact is not None and digest not in (None, artefact.digest):
            yield unit


def _wrong_list(note: Path, known: Mapping[Path, Look]) -> str | None:
    """What is wrong with a list of Parquet files. People read it, so it has no checksum: it is compared with the files
    that it names, and with the sets, all units of one of which it has to name.
    """
    listed = listed_parquet(note)
    if not listed:
        return "it is damaged"
    gone = next(_gone(listed, known), None)
    if gone is not None:
        return f"it names {gone.name}, which is gone"
    if _sets_of(note.parent.parent, known) and sets_of_list(listed, known) == []:
        return "it names others than the units of any set"
    return None


def _inputs_that_are_gone(looks: Iterable[Look]) -> Iterator[str]:
    there = {digest for look in looks for digest in digests_of(look)}
    gone = sorted(
        (name, str(digest), f"{look.folder.parent.name}/{look.folder.name}")
        for look in looks
        if look.artefact is not None and look.kind.name in _MADE_FROM_OTHERS
        for name, digest in look.artefact.meta.get("inputs", {}).items()
        if name in _MADE_BY and str(digest) not in there
    )
    for (name, digest), makes in groupby(gone, lambda one: one[:2]):
        first, *others = [made for _, _, made in makes]
        more = f" and {len(others)} more were" if others else " was"
        how = ", or was given by --model" if name == "model" else ""
        yield (
            f"is not there any more{how}: the {name} {digest[:KEY_DIGITS]} that {first}{more} made from; "
            f"'{_MADE_BY[name]}' makes it anew"
        )

"""``sarpipe verify``: whether all that was made is whole; straight, without Prefect."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path

from rich.filesize import decimal

from sarpipe.flows.console import Console
from sarpipe.stages.verify import Look, Verified, verify
from sarpipe.storage import address


def run_verify(options: Namespace, data: Path) -> int:
    """Do what the command line asks for; its exit code."""
    with Console() as console:
        found = verify(data, lambda done, total, name: console.progress("verify", done, total, name))
    for line in _lines(found):
        print(line, file=sys.stderr)
    print(
        f"{address(data)}: {len(found.looks):,} artefacts, {found.files:,} files, {decimal(found.bytes)} read; "
        + _verdict(found),
        file=sys.stderr,
    )
    if options.json:
        print(json.dumps({"status": _status(found), **_document(found)}))
    return 0 if found.whole else 1


def _status(found: Verified) -> str:
    if found.damaged or found.notes:
        return "damaged"
    return "unreadable" if found.unreadable else "whole"


def _verdict(found: Verified) -> str:
    if not found.looks and not found.notes:
        return "sarpipe has made nothing here: give the output folder by --data or SARPIPE_DATA"
    if found.whole:
        return "all whole"
    counts = {"damaged": len(found.damaged) + len(found.notes), "unreadable": len(found.unreadable)}
    return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


def _lines(found: Verified) -> list[str]:
    lines = [f"damaged {look.kind.name}: {why}\n  {_again(look)}" for look in found.damaged for why in look.wrong]
    lines += [
        f"unreadable {look.kind.name}: {look.wrong[0]}\n  It may be whole: see to its permissions and its disk, then "
        "verify again"
        for look in found.unreadable
    ]
    lines += [f"damaged: {address(path)}\n  {hint}" for path, hint in found.notes]
    lines += found.remarks
    lines += ["a run is under way: what belongs to what is not compared"] if found.in_use else []
    lines += [f"under way: {look.folder}" for look in found.looks if look.state == "under way"]
    lines += [
        f"not made by sarpipe, and left alone: {look.folder / name}" for look in found.looks for name in look.beside
    ]
    lines += [
        f"left by a killed run: {left.path} ({decimal(left.bytes)}); "
        + ("'sarpipe gc' removes it" if left.instead is None else "whole: a rerun or 'sarpipe gc' puts it in its place")
        for left in found.leftovers
    ]
    return lines


def _again(look: Look) -> str:
    if look.kind.name == "checkpoint":
        return "'sarpipe train' goes on from another one"
    return f"'{look.kind.again}' with the settings and the version that made it makes it anew"


def _document(found: Verified) -> dict[str, object]:
    return {
        "artefacts": len(found.looks),
        "files": found.files,
        "bytes": found.bytes,
        "damaged": [
            {
                "kind": look.kind.name,
                "folder": address(look.folder),
                "why": list(look.wrong),
                "again": look.kind.again,
            }
            for look in found.damaged
        ]
        + [{"kind": "note", "folder": address(path), "why": [hint], "again": ""} for path, hint in found.notes],
        "unreadable": [{"folder": address(look.folder), "why": list(look.wrong)} for look in found.unreadable],
        "remarks": list(found.remarks),
        "under_way": [address(look.folder) for look in found.looks if look.state == "under way"],
        "leftovers": [
            {"path": str(left.path), "bytes": left.bytes, "whole": left.instead is not None} for left in found.leftovers
        ],
    }

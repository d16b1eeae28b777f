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
        + ("all whole" if found.whole else f"{len(found.damaged) + len(found.notes)} damaged"),
        file=sys.stderr,
    )
    if options.json:
        print(json.dumps({"status": "whole" if found.whole else "damaged", **_document(found)}))
    return 0 if found.whole else 1


def _lines(found: Verified) -> list[str]:
    lines = [f"damaged {look.kind.name}: {why}\n  {_again(look)}" for look in found.damaged for why in look.wrong]
    lines += [f"damaged: {address(path)}\n  {hint}" for path, hint in found.notes]
    lines += [f"under way: {look.folder}" for look in found.looks if look.state == "under way"]
    lines += [
        f"left by a killed run: {left.path} ({decimal(left.bytes)}); 'sarpipe gc' removes it"
        for left in found.leftovers
    ]
    return lines


def _again(look: Look) -> str:
    if look.kind.name == "checkpoint":
        return "'sarpipe train' goes on from another one; 'sarpipe gc' removes it"
    return f"'{look.kind.again}' with the settings and the version that made it makes it anew; 'sarpipe gc' removes it"


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
        "under_way": [address(look.folder) for look in found.looks if look.state == "under way"],
        "leftovers": [{"path": str(left.path), "bytes": left.bytes} for left in found.leftovers],
    }

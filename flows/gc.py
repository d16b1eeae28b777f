"""``sarpipe gc``: remove what can never be of use; straight, without Prefect."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path

from rich.filesize import decimal

from sarpipe.flows.console import Console
from sarpipe.stages.gc import collect, find_garbage, put_back
from sarpipe.storage import address


def run_gc(options: Namespace, data: Path) -> int:
    """Do what the command line asks for; its exit code."""
    back = list(put_back(data, dry_run=options.dry_run))
    for folder in back:
        said = "whole beside its place, where it could go" if options.dry_run else "whole, and back in its place"
        print(f"left by a killed run, {said}: {folder}", file=sys.stderr)
    with Console() as console:
        found, stays = find_garbage(data, lambda done, total, name: console.progress("verify", done, total, name))
    gone = []
    for one in found if options.dry_run else collect(found):
        gone.append(one)
        print(f"{decimal(one.bytes):>9}  {one.path}\n           {one.why}", file=sys.stderr)
    total = sum(one.bytes for one in gone)
    said = "could go; nothing was changed (--dry-run)" if options.dry_run else "removed"
    print(f"{data}: {len(gone):,} things, {decimal(total)} {said}", file=sys.stderr)
    taken = {one.path for one in found} - {one.path for one in gone}
    for path in sorted(taken):
        print(f"in use again, so it stays: {path}", file=sys.stderr)
    for look in stays:
        print(f"{look.state}, so it stays: {address(look.folder)} ('sarpipe verify' says more)", file=sys.stderr)
    if options.json:
        print(
            json.dumps(
                {
                    "status": "planned" if options.dry_run else "completed",
                    "removed": [{"path": str(one.path), "why": one.why, "bytes": one.bytes} for one in gone],
                    "bytes": total,
                    "put_back": list(map(str, back)),
                    "kept": sorted(map(str, taken)),
                    "damaged": [address(look.folder) for look in stays if look.state == "damaged"],
                    "unreadable": [address(look.folder) for look in stays if look.state == "unreadable"],
                }
            )
        )
    return 0

"""``sarpipe quarantine``: what could not be used, why, and how to look at it and try it again; without Prefect."""

from __future__ import annotations

import json
from argparse import Namespace

import pandas as pd

from sarpipe.errors import UsageError
from sarpipe.flows.console import print_lines
from sarpipe.settings import Settings
from sarpipe.stages.quarantine import listed_quarantine, look, quarantine_path
from sarpipe.storage import address


def run_quarantine(options: Namespace, settings: Settings) -> int:
    """Do what the command line asks for; its exit code."""
    listed = listed_quarantine(settings)
    file = address(quarantine_path(settings))
    if options.id is not None or options.store is not None:
        listed = _asked_for(listed, options)
    if options.json:
        print(json.dumps({"status": "completed", "quarantine": listed.to_dict("records"), "list": file}))
        return 0
    if options.id is not None or options.store is not None:
        for _, row in listed.iterrows():
            print_lines([*_entry(row), "now:", look(row["path"], row["store"], row["id"])])
        return 0
    for _, row in listed.iterrows():
        print_lines(_entry(row))
    print_lines([f"{len(listed):,} {'entry' if len(listed) == 1 else 'entries'}, all in {file}"])
    return 0


def _asked_for(listed: pd.DataFrame, options: Namespace) -> pd.DataFrame:
    store, place = options.store, options.id
    found = pd.DataFrame(listed[listed["store"] == store if place is None else listed["id"] == place])
    if found.empty:
        what = f"place {place!r}" if place is not None else f"store {store!r}"
        raise UsageError(f"{what} is not in quarantine", "'sarpipe quarantine' lists what is")
    return found


def _entry(row: pd.Series) -> list[str]:
    place = f"place {row['id']} of " if row["id"] else ""
    return [
        f"{place}store {row['store']}, step {row['step']} [{row['code']}]: {row['reason']}",
        f"  lies in     {row['path']}",
        f"  what helps  {row['helps']}",
        f"  look        {row['look']}",
        f"  try again   {row['retry']}",
    ]

"""``sarpipe study``: trainings with one choice put back, beside the default; straight, without Prefect."""

from __future__ import annotations

import json
from argparse import Namespace

from rich.console import Console as RichConsole

from sarpipe.flows.console import Console, print_plan
from sarpipe.settings import Settings
from sarpipe.stages.chain import find_cubes
from sarpipe.stages.study import make_study, plan_study
from sarpipe.storage import address
from sarpipe.study.choices import named


def run_study(options: Namespace, settings: Settings, held_out: Settings | None) -> int:
    """Do what the command line asks for; its exit code. ``held_out`` are the settings of the output to measure on."""
    choices = named(options.choices)
    cube_set = find_cubes(settings, None)
    if options.dry_run:
        print_plan(plan_study(settings, cube_set, choices, options.seeds))
        return 0
    with Console() as console:
        folder, study = make_study(
            settings,
            cube_set,
            choices,
            options.seeds,
            lambda done, total, note: console.progress("study", done, total, note),
            None if held_out is None else find_cubes(held_out, None),
        )
    screen = RichConsole(stderr=True, highlight=False, markup=False, soft_wrap=True)
    screen.print("what each choice brings: the default minus the training without it or the baseline, 95 % interval")
    for line in (folder / "study.md").read_text(encoding="utf-8").splitlines():
        screen.print(line)
    screen.print(f"  study   {address(folder / 'study.json')}")
    if options.json:
        print(json.dumps({"status": "completed", "study": address(folder / "study.json"), **study}))
    return 0

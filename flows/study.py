"""``sarpipe study``: trainings with one choice put back, beside the default; straight, without Prefect."""

from __future__ import annotations

import json
from argparse import Namespace

from rich.console import Console as RichConsole

from sarpipe.errors import UsageError
from sarpipe.flows.console import Console, print_plan
from sarpipe.settings import Settings
from sarpipe.stages.chain import find_cubes
from sarpipe.stages.study import make_study, plan_study
from sarpipe.storage import Artefact, address
from sarpipe.study.choices import named


def run_study(options: Namespace, settings: Settings, held_out: Settings | None) -> int:
    """Do what the command line asks for; its exit code. ``held_out`` are the settings of the output to measure on."""
    if settings.train.seed:
        raise UsageError("a study takes the seeds 0, 1 and so on", "Leave out train.seed; --seeds says how many")
    choices = named(options.choices, settings.train)
    cube_set = find_cubes(settings, None)
    other = None if held_out is None else _held_out(held_out)
    if options.dry_run:
        print_plan(plan_study(settings, cube_set, choices, options.seeds, other, options.apart_km))
        return 0
    with Console() as console:
        folder, study = make_study(
            settings,
            cube_set,
            choices,
            options.seeds,
            lambda done, total, note: console.progress("study", done, total, note),
            other,
            options.apart_km,
        )
    screen = RichConsole(stderr=True, highlight=False, markup=False, soft_wrap=True)
    for line in (folder / "study.md").read_text(encoding="utf-8").splitlines():
        screen.print(line)
    screen.print(f"  study   {address(folder / 'study.json')}")
    if options.json:
        print(json.dumps({"status": "completed", "study": address(folder / "study.json"), **study}))
    return 0


def _held_out(settings: Settings) -> Artefact:
    try:
        return find_cubes(settings, None)
    except UsageError as error:
        where = settings.data_url or settings.data
        raise UsageError(
            f"--held-out: {error.message}", f"Run 'sarpipe preprocess SOURCE --data {where}' first"
        ) from error

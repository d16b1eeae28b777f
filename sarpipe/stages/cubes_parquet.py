"""Cubes as Parquet, one file a unit: an artefact beside each unit, made where it is asked for (``format: parquet``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sarpipe.cubes_parquet import write_cubes_parquet
from sarpipe.settings import Settings
from sarpipe.stages.inventory import PARQUET_FILE, PARQUET_LIST
from sarpipe.stages.step import Receipt, Step, make, plan_step, put_away
from sarpipe.storage import inspect, write_small

CODE = ("channels.py", "cubes_parquet.py")


def parquet_folder(settings: Settings) -> Path:
    """Where the Parquet files of the recipe's units lie."""
    return settings.cubes_folder / "parquet"


def plan_parquet(settings: Settings, name: str, digest: str, *, force: bool = False) -> Step:
    """The step that writes the unit of the store ``name`` as Parquet."""
    return plan_step(
        "preprocess",
        name,
        parquet_folder(settings),
        inputs={"unit": digest},
        settings=settings.recipe.model_dump(mode="json"),
        code=CODE,
        force=force,
    )


def make_parquet(settings: Settings, unit: Receipt, *, force: bool = False) -> None:
    """Write a unit as Parquet, unless that is there and whole. Runs on a Dask worker, after the unit was made."""
    settings = settings.here()
    # Where the unit is on this machine.
    folder = settings.cubes_folder / Path(unit["folder"]).name
    step = plan_parquet(settings, unit["name"], unit["digest"], force=force)
    provenance = {"recipe": step.meta["settings"], "unit": unit["digest"]}
    make(step, lambda out: write_cubes_parquet(out / PARQUET_FILE, folder, provenance))


def with_parquet(settings: Settings, step: Step, *, remember: bool) -> Step:
    """The step of a store whose unit is there, if it is there as Parquet too; else a step with that still to do.
    ``remember`` as of `sarpipe.stages.preprocess.plan_preprocess`.
    """
    if not step.done or step.folder is None:
        return step
    parquet = plan_parquet(settings, step.name, inspect(step.folder).digest)
    if parquet.done and remember:
        put_away(parquet)
    return step if parquet.done else replace(step, state="partial", why=f"there, but not as Parquet: {parquet.why}")


def publish_parquet(settings: Settings, units: Sequence[Receipt]) -> None:
    """List the Parquet files of these units in ``files.txt``, a path below `parquet_folder` a line: files of other runs
    lie beside them.
    """
    steps = [plan_parquet(settings, unit["name"], unit["digest"]) for unit in units]
    lines = [f"{step.folder.name}/{PARQUET_FILE}\n" for step in steps if step.folder is not None]
    write_small(parquet_folder(settings) / PARQUET_LIST, "".join(lines).encode())

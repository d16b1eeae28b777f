"""What embeddings and their report were made with, as they say of themselves."""

from __future__ import annotations

from typing import Any

from sarpipe.stages.step import Step
from sarpipe.storage import Artefact


def made_with(cube_set: Artefact, model: Artefact) -> dict[str, Any]:
    """The settings of the recipe and of the training. They are written into the files, and so belong to their key:
    other settings that happen to give the same cubes or weights still need files that name them.
    """
    return {"recipe": cube_set.meta["settings"], "training": model.meta["settings"]}


def provenance(step: Step) -> dict[str, Any]:
    """What a file says of itself: settings, digests of what went in, versions and code (its hash) of what made it."""
    made = {name: step.meta[name] for name in ("inputs", "versions", "code")}
    return {**step.meta["settings"], **made}

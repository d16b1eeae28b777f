"""Names of flow runs: what is known at the start, and after a look at the stores how many there are."""

from __future__ import annotations

from prefect.client.orchestration import get_client
from prefect.runtime import flow_run

from sarpipe.settings import Settings


def rename(name: str) -> None:
    """Give the flow run that is under way another name, as more is known of it."""
    with get_client(sync_client=True) as client:
        client.set_flow_run_name(flow_run.id, name)


def short(source: str) -> str:
    """The last two parts of a path or URL, as of raw/train/S1GRD; the start of it is much the same in every run."""
    return "/".join(source.rstrip("/").split("/")[-2:])


def counted(number: int, noun: str) -> str:
    """``1 store``, ``2 stores``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def trained(settings: Settings) -> str:
    """The recipe, and the preset or the model that is given: ``sar/original``."""
    return f"{settings.recipe.name}/{settings.train.preset if settings.model is None else settings.model.name}"

"""How a run that fails says so: what failed first, then what to do."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

import prefect
from prefect import Flow
from prefect.logging import get_run_logger
from prefect.runtime import deployment, flow_run
from prefect.states import Failed
from prefect.utilities.hashing import file_hash

from sarpipe.errors import SarpipeError, UsageError, code_of

P = ParamSpec("P")
R = TypeVar("R")

_STAGE = "failed in stage "


def flow(*, name: str, **options: Any) -> Callable[[Callable[P, R]], Flow[P, R]]:
    """As `prefect.flow`, but a run that fails ends in a state whose message says in its first line what failed, and
    then what to do. Prefect's own begins with words that say neither, and the UI shows the first 80 letters.
    """

    def decorate(function: Callable[P, R]) -> Flow[P, R]:
        # Prefect would take it from the file that the wrapper below is in.
        options.setdefault("version", file_hash(str(inspect.getsourcefile(function))))
        return cast(Flow[P, R], prefect.flow(name=name, **options)(_ending(function, name)))

    return decorate


def _ending(function: Callable[P, R], name: str) -> Callable[P, R]:
    @wraps(function)
    def run(*arguments: P.args, **named: P.kwargs) -> R:
        try:
            return function(*arguments, **named)
        except Exception as error:
            message = said(name, error)
            # A traceback helps where nobody has foreseen the error, and comes after the words.
            get_run_logger().error("%s", message, exc_info=not isinstance(error, SarpipeError))
            if not _stage_of(error):
                error.add_note(_STAGE + name)
            # The state that Prefect shall end in; its result raises the error.
            return cast(R, Failed(message=message, data=error))

    # Prefect makes its form from the types, and would look for their names in this module.
    run.__annotations__ = inspect.get_annotations(function, eval_str=True)
    cast(Any, run).__signature__ = inspect.signature(function, eval_str=True)
    return run


def said(name: str, error: BaseException) -> str:
    """What a run ends with: what failed and why, with its code, what to do, and how to go on.

    Args:
        name: Of the flow.
        error: What ended it.
    """
    what, hint = (error.message, error.hint) if isinstance(error, SarpipeError) else _unforeseen(error)
    stage = _stage_of(error) or name
    lines = [
        f"{stage} failed: {what} [{code_of(error)}]",
        f"What to do: {hint}" if hint else "",
        f"Then: {_again(error)}; what was finished is kept",
    ]
    return "\n".join(filter(None, lines))


def _stage_of(error: BaseException) -> str:
    """The stage whose flow has failed first, of the flow that ran it too."""
    for note in getattr(error, "__notes__", ()):
        if note.startswith(_STAGE):
            return str(note.removeprefix(_STAGE))
    return ""


def _unforeseen(error: BaseException) -> tuple[str, str]:
    what = f"{type(error).__name__}: {error}"
    if isinstance(error, OSError | TimeoutError | MemoryError):
        return what, "see that disk, network and memory are there; it was tried again already"
    return what, "nobody has foreseen this: please report it with the traceback in this run's log"


def _again(error: BaseException) -> str:
    """How to run it again: only what a worker started can be started again by one, with the parameters that it had."""
    if deployment.id is None:
        return "run it again"
    retry = f"Retry on this page, or 'prefect flow-run retry {flow_run.id}'"
    return f"{retry}, with the same parameters; for others start a new run" if isinstance(error, UsageError) else retry

"""Running a flow from the command line: on the Prefect server that is set, or on an embedded one."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sarpipe.codes import Code
from sarpipe.errors import SarpipeError, UsageError
from sarpipe.ssl4eo import find_stores
from sarpipe.stages.chain import named

_DEFAULTS = {
    # The embedded server's first start migrates its database; the default of 20 s is too short on two cores.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
}
"""As in pyproject.toml, which Prefect reads only from the current folder."""


def run_flow(stage: str, parameters: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Run the flow of a stage, or ``pipeline`` for ``run``, in this process.

    Returns:
        The results by stage, and how to see the run in the Prefect UI.

    Raises:
        SarpipeError: As the stages do, or the server has gone away. A wrong path is told before a server is started.
    """
    if stage == "preprocess" or parameters.get("from_stage") == "preprocess":
        find_stores(named(parameters["source"]))
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    _check_server()
    with _server_errors():
        state = _flow(stage)(**parameters, return_state=True)
        result = state.result()
    results = result if stage == "run" else {stage: result}
    return results, _seen_at(str(state.state_details.flow_run_id))


def _check_server() -> None:
    """See that a server that is set answers, and this process with its credentials; without one Prefect starts its own.

    Raises:
        SarpipeError: It does not answer.
        UsageError: It asks for other credentials.
    """
    from httpx import HTTPStatusError
    from prefect.client.orchestration import get_client
    from prefect.settings import get_current_settings

    api = get_current_settings().api
    url = api.url
    if url is None:
        return
    with get_client(sync_client=True) as client:
        # Its health a server tells everybody.
        failure = client.api_healthcheck()
        if failure is None:
            try:
                client.api_version()
            except HTTPStatusError as error:
                failure = error
    if isinstance(failure, HTTPStatusError) and failure.response.status_code in (401, 403):
        wrong = "takes no one without credentials" if api.auth_string is None else "does not take these credentials"
        raise UsageError(
            f"the Prefect server at {url} {wrong} ({failure.response.status_code})",
            "Set PREFECT_API_AUTH_STRING to the server's PREFECT_SERVER_API_AUTH_STRING, as user:password",
            code=Code.CREDENTIALS,
        )
    if failure is not None:
        raise SarpipeError(
            f"the Prefect server at {url} does not answer ({type(failure).__name__})",
            "Start it with 'prefect server start', or unset PREFECT_API_URL to do without",
            code=Code.SERVER_AWAY,
        )


@contextmanager
def _server_errors() -> Iterator[None]:
    """Say as a `SarpipeError` that the server has gone away. Prefect asks it again for about a minute a request."""
    from httpx import TransportError
    from prefect.settings import get_current_settings

    try:
        yield
    except TransportError as error:
        raise SarpipeError(
            f"the Prefect server at {get_current_settings().api.url} has gone away ({type(error).__name__})",
            "Start it with 'prefect server start' and run it again: what was finished is kept",
            code=Code.SERVER_AWAY,
        ) from error


def _flow(stage: str) -> Any:
    # Imported one by one: Prefect takes seconds, and the environment above has to be set before it is read.
    from sarpipe.flows.embed import embed
    from sarpipe.flows.evaluate import evaluate
    from sarpipe.flows.pipeline import pipeline
    from sarpipe.flows.preprocess import preprocess
    from sarpipe.flows.report import report
    from sarpipe.flows.train import train

    return {
        "preprocess": preprocess,
        "train": train,
        "embed": embed,
        "evaluate": evaluate,
        "report": report,
        "run": pipeline,
    }[stage]


def _seen_at(flow_run: str) -> str:
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    if settings.api.url:
        return f"See the run: {settings.ui_url or settings.api.url.removesuffix('/api')}/runs/flow-run/{flow_run}"
    prefect = "prefect" if shutil.which("prefect") else Path(sys.executable).with_name("prefect")
    return (
        f"See the run in the Prefect UI: '{prefect} server start', then open "
        f"http://127.0.0.1:4200/runs/flow-run/{flow_run}"
    )

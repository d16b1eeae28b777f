"""``python -m sarpipe.flows.automations FOLDER``: put the automations of a folder on the server, or update them.

`prefect automation create` makes another one of the same name each time, and knows a notification block by its id only.
"""

from __future__ import annotations

import os
import sys
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import yaml
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectNotFound
from prefect.settings import get_current_settings

from sarpipe.errors import SarpipeError, UsageError

ALARM = "custom-webhook/sarpipe-alarm"
"""Type and name of the notification block of the files. SARPIPE_ALARM names another one, as slack-webhook/operators."""


def install(folder: Path) -> list[str]:
    """Make each automation of a folder, or update the one of its name; their names.

    Raises:
        UsageError: There is none in the folder, no server is set, or it has no block of the name in SARPIPE_ALARM.
    """
    url = get_current_settings().api.url
    if url is None:
        raise UsageError("no Prefect server is set", "export PREFECT_API_URL=http://127.0.0.1:4200/api")
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise UsageError(f"there is no automation in {folder}", "For example data/configs/automations")
    with get_client(sync_client=True) as client:
        alarm = _alarm(client, os.environ.get("SARPIPE_ALARM") or ALARM, url)
        return [_install(client, yaml.safe_load(file.read_text(encoding="utf-8")), alarm) for file in files]


def _install(client: SyncPrefectClient, document: dict[str, Any], alarm: UUID) -> str:
    for action in document["actions"]:
        if action.get("block_document_id") == ALARM:
            action["block_document_id"] = alarm
    automation = AutomationCore.model_validate(document)
    there = client.read_automations_by_name(automation.name)
    if not there:
        client.create_automation(automation)
    for one in there[:1]:
        # Who has switched it off meant it.
        client.update_automation(one.id, automation.model_copy(update={"enabled": one.enabled}))
    for one in there[1:]:
        client.delete_automation(one.id)
    return automation.name


def _alarm(client: SyncPrefectClient, named: str, url: str) -> UUID:
    """The notification block of this type and name. The default one is made, with the address and the secret of now."""
    kind, _, name = named.partition("/")
    if named == ALARM:
        return UUID(str(_as_artifact(url).save(name, overwrite=True)))
    try:
        return client.read_block_document_by_name(name, kind).id
    except ObjectNotFound:
        raise UsageError(
            f"there is no block {named} on the server", "'prefect block ls' shows those there are"
        ) from None


def _as_artifact(url: str) -> CustomWebhookNotificationBlock:
    """A block that keeps what is said in the server itself, on its page Artifacts: it needs no other service."""
    auth = get_current_settings().api.auth_string
    login = auth.get_secret_value() if auth else ""
    return CustomWebhookNotificationBlock(
        name="sarpipe-alarm",
        url=f"{url}/artifacts/",
        headers={"Authorization": "Basic {{basic}}"} if login else None,
        secrets={"basic": b64encode(login.encode()).decode()},
        json_data={
            "key": "sarpipe-alarm",
            "type": "markdown",
            "description": "{{subject}}",
            "data": "# {{subject}}\n\n{{body}}",
        },
    )


def _folder(words: Sequence[str]) -> Path:
    if len(words) != 1:
        raise UsageError(f"one folder of automations is needed, not {len(words)}", "Give data/configs/automations")
    return Path(words[0])


if __name__ == "__main__":
    try:
        print("\n".join(install(_folder(sys.argv[1:]))))
    except SarpipeError as error:
        sys.exit(f"{error}")

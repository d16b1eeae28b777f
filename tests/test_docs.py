import argparse
import re
import shlex
from pathlib import Path

import pytest
from pydantic import BaseModel

from sarpipe.flows.cli import _joined, _parser
from sarpipe.preprocess.recipe import SarRecipe
from sarpipe.ssl.view_settings import ViewSettings
from sarpipe.train.settings import TrainSettings

ROOT = Path(__file__).resolve().parent.parent


def commands() -> list[str]:
    texts = [(ROOT / "README.md").read_text(), *(page.read_text() for page in sorted((ROOT / "docs").glob("*.md")))]
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", "\n".join(texts), flags=re.DOTALL))
    helps = "\n".join(command.epilog or "" for command in _commands())
    lines = (line.split("#")[0].split("   (")[0].strip() for line in f"{blocks}\n{helps}".splitlines())
    return sorted({line.split("|")[0].strip() for line in lines if line.startswith("sarpipe ")})


def _commands() -> list[argparse.ArgumentParser]:
    (choices,) = (action.choices for action in _parser()._actions if isinstance(action, argparse._SubParsersAction))
    return list(choices.values())


def test_every_command_shows_examples() -> None:
    for command in _commands():
        assert f"examples:\n  {command.prog}" in (command.epilog or ""), command.prog


@pytest.mark.parametrize("command", commands())
def test_commands_in_the_readme_and_in_help_are_understood(command: str) -> None:
    assert _parser().parse_args(_joined(shlex.split(command)[1:])).command


@pytest.mark.parametrize(
    ("model", "prefix", "without"),
    [
        (SarRecipe, "recipe.", {"name"}),
        (TrainSettings, "train.", {"preset", "views"}),
        (ViewSettings, "train.views.", set()),
    ],
)
def test_every_setting_is_in_the_concepts_with_its_default(
    model: type[BaseModel], prefix: str, without: set[str]
) -> None:
    text = (ROOT / "docs" / "concepts.md").read_text()
    for name, field in model.model_fields.items():
        if name not in without:
            default = field.get_default(call_default_factory=True)
            assert f"| `{prefix}{name}` | {'none' if default is None else default} | {field.description} |" in text


def test_links_between_the_documents_lead_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "data" / "README.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"

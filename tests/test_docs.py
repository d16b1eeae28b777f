import re
import shlex
from pathlib import Path

import pytest
from pydantic import BaseModel

from sarpipe.flows.cli import _SEARCHES, _STAGES, _joined, _parser
from sarpipe.preprocess.recipe import SarRecipe
from sarpipe.ssl.view_settings import ViewSettings
from sarpipe.train.settings import TrainSettings

ROOT = Path(__file__).resolve().parent.parent


def commands() -> list[str]:
    text = (ROOT / "README.md").read_text()
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL))
    shown = [line.split("#")[0].strip() for line in blocks.splitlines() if line.startswith("sarpipe ")]
    examples = [*_SEARCHES, *(example for _, _, examples in _STAGES.values() for example in examples)]
    return shown + [example.split("|")[0] for example in examples]


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

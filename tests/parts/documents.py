"""What the documents tell an operator to type."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def shell(page: str, words: str) -> str:
    """The one block of shell commands of a page in `docs` that has these words."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / page).read_text(), flags=re.DOTALL)
    (found,) = [block for block in blocks if words in block]
    return str(found)

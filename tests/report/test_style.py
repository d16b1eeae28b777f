from __future__ import annotations

import re

import pytest

from sarpipe.report.explorer import EXPLORER_STYLE
from sarpipe.report.style import STYLE


def luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_every_text_colour_has_the_contrast_of_wcag_aa(theme: int) -> None:
    block = re.findall(r":root \{(.*?)\}", STYLE, flags=re.DOTALL)[theme]
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))
    for ink in ("ink", "muted", "accent"):
        for ground in ("paper", "raised"):
            low, high = sorted(luminance(colours[name]) for name in (ink, ground))
            assert (high + 0.05) / (low + 0.05) >= 4.5


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_the_explorer_has_the_contrast_of_wcag_aa(theme: int) -> None:
    def colours(style: str) -> dict[str, str]:
        blocks = re.findall(r"(@media \(prefers-color-scheme: dark\) \{\s*)?:root \{(.*?)\}", style, flags=re.DOTALL)
        chosen = [block for dark, block in blocks if bool(dark) == bool(theme)]
        return dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", " ".join(chosen)))

    page = colours(STYLE) | colours(EXPLORER_STYLE)
    for ink, ground, least in [("muted", "sea", 4.5), ("edge", "paper", 3), ("accent", "sea", 3), ("ink", "land", 4.5)]:
        low, high = sorted(luminance(page[name]) for name in (ink, ground))
        assert (high + 0.05) / (low + 0.05) >= least, (ink, ground)

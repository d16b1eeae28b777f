import re
from typing import Any

import pytest

from sarpipe.report.rate_quality import rate_quality_section

SIZES = {"bytes_per_place": {"raw_float16": 1_115_136, "source_on_disk": 731_000.0}}


def measured(bytes_: int, value: float, overhead: int = 0, loss: float | None = None) -> dict[str, Any]:
    figure = {"value": value, "interval": [value - 0.02, value + 0.02]}
    found: dict[str, Any] = {
        "bytes": bytes_,
        "overhead_bytes": overhead,
        "mean_r2": figure,
        "probe": {"fraction_water": figure},
        "retrieval": {"recall_at_1": figure},
        "displaced_retrieval": {"recall_at_1": figure},
    }
    if loss is not None:
        gap = {
            "difference": -loss / 100,
            "interval": [-1, 1],
            "loss_percent": loss,
            "loss_interval": [loss - 1, loss + 1],
        }
        names = ("mean_r2", "knn:20", "displaced_recall_at_1", "displaced_mrr", "r2:fraction_water")
        found |= {"differences": dict.fromkeys(names, gap), "same_places": {"mean_r2": gap} if overhead else None}
    return found


@pytest.fixture
def figures() -> dict[str, Any]:
    forms = {
        "int8": measured(1028, 0.699, loss=0.1),
        "float32": measured(4096, 0.7),
        "pq": measured(64, 0.66, 659456, loss=5.7),
    }
    nested = {"32": measured(32, 0.6, 1, loss=14.0), "16": measured(16, 0.5, 1, loss=28.0)}
    return {
        "forms": {
            "n": 256,
            "forms": forms,
            "nested": nested,
            "rivals": {"64": measured(64, 0.3, 1, loss=57.1)},
            "notes": [],
        }
    }


def cells(html: str, row: str) -> list[str]:
    (found,) = re.findall(rf'<tr><th scope="row">{row}</th>(.*?)</tr>', html)
    return [re.sub("<span.*?</span>|<.*?>", "", cell) for cell in re.findall("<td>(.*?)</td>", found)]


def test_bytes_ratios_and_losses_of_each_form_are_in_the_table(figures: dict[str, Any]) -> None:
    html = rate_quality_section(figures, SIZES)
    # 1,115,136 / 64 and 731,000 / 64.
    assert cells(html, "product quantization") == [
        *("64", "659,456", "17,424", "11,422", "0.660", "0.660"),
        *("5.7", "5.7", "5.7", "5.7", "5.7"),
    ]
    assert cells(html, "int8 with a scale")[:4] == ["1,028", "0", "1,085", "711"]
    assert cells(html, "int8 with a scale")[-1] == ""
    assert cells(html, "PCA of the cube, 64 components")[6] == "57.1"
    assert cells(html, "16 components, int8")[6] == "28.0"
    assert "<summary>Loss of R² of each target, %</summary>" in html


def test_forms_stand_from_the_largest_to_the_smallest(figures: dict[str, Any]) -> None:
    html = rate_quality_section(figures, SIZES)
    rows = re.findall(r'<tr><th scope="row">(.*?)</th><td>([\d,]+)</td>', html)
    assert [int(size.replace(",", "")) for _, size in rows] == [4096, 1028, 64, 32, 16, 64]


def test_the_charts_say_in_words_what_they_show_and_follow_the_theme(figures: dict[str, Any]) -> None:
    html = rate_quality_section(figures, SIZES)
    assert html.count("<svg") == 2
    assert "PQ 64 bytes 0.660" in html
    assert "PCA of the cube: 64 bytes 0.300" in html
    assert "currentColor" in html
    identifiers = re.findall(r'\bid="([^"]+)"', html)
    assert len(identifiers) == len(set(identifiers))


def test_what_was_not_measured_is_said(figures: dict[str, Any]) -> None:
    assert "was not measured" in rate_quality_section({}, {})
    few = {"forms": {"n": 9, "forms": {}, "rivals": {}, "notes": ["9 places: too few"]}}
    assert "9 places: too few" in rate_quality_section(few, SIZES)
    for form in figures["forms"]["forms"].values():
        form["mean_r2"] = form["displaced_retrieval"] = None
    html = rate_quality_section(figures, {})
    assert "<svg" not in html
    assert "not measured" in html


def test_the_same_figures_give_the_same_bytes(figures: dict[str, Any]) -> None:
    assert rate_quality_section(figures, SIZES) == rate_quality_section(figures, SIZES)

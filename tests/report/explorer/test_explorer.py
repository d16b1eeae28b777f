"""The explorer as a person meets it: in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sarpipe.report import Report, render

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>&\"'\u2028"
SELECTED = "#explorer-place"
SAID = "#explorer-said"


@pytest.fixture(scope="module")
def report(make_report: Callable[..., Report]) -> Report:
    """Sixty places on a grid of six rows and ten columns, each its own in the projection too."""
    made = make_report(60)
    row, column = np.divmod(np.arange(60), 10)
    made.places.index["valid_fraction"] = np.r_[0.875, np.linspace(0.5, 1, 59)]
    made.places.index["latitude"], made.places.index["longitude"] = 40.0 + row, 10.0 + column
    return made


@pytest.fixture(scope="module")
def page(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render(report), encoding="utf-8")
    return path


@pytest.fixture
def opened(browser: Any, page: Path) -> Any:
    browser.open(page)
    yield browser
    assert browser.complaints == []


def on_the_map(browser: Any, latitude: float, longitude: float) -> tuple[float, float]:
    """Where the map of sixty places (40 to 45 N, 10 to 19 E) draws a position: true to scale at its middle."""
    width, height = browser.ask(
        "(({clientWidth, clientHeight}) => [clientWidth, clientHeight])(document.querySelector('#explorer-map'))"
    )
    squeeze = np.cos(np.radians(42.5))
    scale = min((width - 56) / (9 * squeeze), (height - 56) / 5)
    return width / 2 + 8 + (longitude - 14.5) * squeeze * scale, height / 2 - 4 + (42.5 - latitude) * scale


def looks_like(browser: Any, selector: str) -> int:
    """How many colours a canvas shows."""
    return int(
        browser.ask(
            f"(() => {{ const canvas = document.querySelector('{selector}'); const seen = new Set(); const {{data}} = "
            "canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height); "
            "for (let k = 0; k < data.length; k += 4) seen.add(data.slice(k, k + 4).join()); return seen.size })()"
        )
    )


def test_a_click_on_the_map_shows_that_place(opened: Any, report: Report) -> None:
    for place, (latitude, longitude) in {23: (42, 13), 59: (45, 19), 0: (40, 10)}.items():
        opened.click("#explorer-map", *on_the_map(opened, latitude, longitude))
        assert opened.text(SELECTED) == report.places.ids[place]
        assert f"Place {report.places.ids[place]}" in opened.ask(f"document.querySelector('{SAID}').textContent")
    facts = opened.text("#explorer-facts")
    assert "40.0000°, 10.0000°" in facts
    assert "store_000001" in facts
    assert "87.5 %" in facts
    assert "mixed passes, partly valid" in facts
    assert "2020-02-21\ndescending\norbit 7\n50 % with data" in facts
    assert opened.ask("document.querySelectorAll('.tiles canvas').length") == 12
    assert opened.ask("document.querySelectorAll('.dates canvas').length") == 8
    assert looks_like(opened, ".tiles canvas") > 20
    assert looks_like(opened, ".dates canvas") > 20


def test_neighbours_lead_on(opened: Any, report: Report) -> None:
    from sarpipe.report.explorer.nearest import nearest

    rows, similarity = nearest(report.vectors, 6)
    at = report.places.ids.index(opened.text(SELECTED))
    names = opened.ask("[...document.querySelectorAll('.nearest button')].map(button => button.dataset.place)")
    assert names == [report.places.ids[row] for row in rows[at]]
    assert f"similarity {similarity[at][0]:.2f}" in opened.text(".nearest button")
    opened.click(".nearest li:nth-child(3) button")
    assert opened.text(SELECTED) == names[2]
    assert opened.ask("document.activeElement.id") == "explorer-detail"


def test_filters_leave_places_out_and_can_be_taken_back(opened: Any, report: Report) -> None:
    assert opened.text("#explorer-count") == "60 places"
    assert opened.ask("document.querySelector('#explorer-reset').disabled")
    assert report.places.truth is not None
    water = int((report.places.truth["fraction_water"] >= report.places.truth["fraction_built_up"]).sum())
    name = opened.text("#explorer-classes .chip").split()[0]
    opened.click("#explorer-classes .chip input")
    left = 60 - water if name == "water" else water
    assert opened.text("#explorer-count") == f"{left} of 60 places"
    opened.click("#explorer-reset")
    assert opened.text("#explorer-count") == "60 places"
    set_to = "Object.assign(document.querySelector('{}'), {{value: '{}'}}).dispatchEvent(new Event('input'))"
    opened.ask(set_to.format("#explorer-orbit", 9))
    assert opened.text("#explorer-count") == "20 of 60 places"
    # Orbit 9 is that of the fourth date alone, which is in November.
    opened.ask(set_to.format("#explorer-to", "2020-10-01"))
    assert opened.text("#explorer-count") == "0 of 60 places"
    opened.ask(set_to.format("#explorer-orbit", 80))
    assert opened.text("#explorer-count") == "60 places"
    opened.ask(set_to.format("#explorer-from", "2020-09-01"))
    assert opened.text("#explorer-count") == "0 of 60 places"
    opened.click("#explorer-map", *on_the_map(opened, 42, 13))
    assert opened.text(SELECTED) == report.places.ids[0], "a place that is left out is not met by a click"


def test_everything_is_reached_by_keyboard(opened: Any, report: Report) -> None:
    ids = report.places.ids
    opened.ask("document.querySelector('#explorer-map').focus()")
    opened.press("Home", "ArrowRight", "ArrowRight", "ArrowUp")
    assert ids[12] in opened.ask(f"document.querySelector('{SAID}').textContent")
    assert opened.text(SELECTED) == ids[0]
    opened.press("Enter")
    assert opened.text(SELECTED) == ids[12]
    opened.press("ArrowLeft", "ArrowDown", " ")
    assert opened.text(SELECTED) == ids[1]
    assert opened.ask("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    # Further round with the tabulator: the zoom buttons, the other plot and the neighbours.
    met = []
    for _ in range(14):
        opened.press("Tab")
        met.append(
            opened.ask(
                "document.activeElement.id || document.activeElement.ariaLabel || document.activeElement.dataset.place"
            )
        )
    assert met[:5] == ["Zoom in", "Zoom out", "Show all places", "explorer-projection", "Zoom in"]
    assert met[7] in ids
    opened.ask("document.querySelector('#explorer-search').focus()")
    opened.press(*ids[57][-2:])
    assert opened.ask("document.querySelectorAll('#explorer-matches [role=option]').length") == 1
    opened.press("ArrowDown")
    assert opened.ask("document.activeElement.getAttribute('aria-activedescendant')") == "explorer-match-0"
    opened.press("Enter")
    assert opened.text(SELECTED) == ids[57]
    assert opened.ask("document.querySelector('#explorer-matches').hidden")


def test_places_at_one_point_follow_one_another(browser: Any, report: Report, tmp_path: Path) -> None:
    index = report.places.index.assign(latitude=1.0, longitude=2.0)
    path = tmp_path / "one.html"
    path.write_text(render(replace(report, places=replace(report.places, index=index))), encoding="utf-8")
    browser.open(path)
    browser.ask("document.querySelector('#explorer-map').focus()")
    browser.press("Home", "ArrowRight", "ArrowRight", "ArrowLeft", "ArrowRight", "ArrowRight", "Enter")
    assert browser.text(SELECTED) == report.places.ids[3]
    assert browser.complaints == []


def test_every_colouring_has_its_legend(opened: Any) -> None:
    names = opened.ask("[...document.querySelectorAll('#explorer-colour option')].map(option => option.text)")
    assert names == [
        "class",
        "orbit pass",
        "mean VV (dB)",
        "fraction water",
        "fraction built up",
        "x",
        "valid fraction",
    ]
    pictures = set()
    for index, name in enumerate(names):
        opened.ask(
            f"Object.assign(document.querySelector('#explorer-colour'), {{value: {index}}})"
            ".dispatchEvent(new Event('change'))"
        )
        opened.settle()
        pictures.add(opened.ask("document.querySelector('#explorer-map canvas').toDataURL()"))
        assert opened.ask("document.querySelector('#explorer-legend').hidden") == (name == "class")
    assert len(pictures) == len(names)


def test_zooming_in_parts_places(opened: Any) -> None:
    before = opened.ask("document.querySelector('#explorer-map canvas').toDataURL()")
    for _ in range(4):
        opened.click("#explorer-map-view [aria-label='Zoom in']")
    assert opened.ask("document.querySelector('#explorer-map canvas').toDataURL()") != before
    opened.ask("document.querySelector('#explorer-map').focus()")
    opened.press("0")
    assert opened.ask("document.querySelector('#explorer-map canvas').toDataURL()") == before


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1280])
def test_it_fits_a_phone_and_follows_the_theme(browser: Any, page: Path, width: int, dark: bool) -> None:
    browser.open(page, width=width, dark=dark)
    root = "document.documentElement"
    assert browser.ask(f"{root}.scrollWidth - {root}.clientWidth") == 0
    corner = "[...document.querySelector('#explorer-projection canvas').getContext('2d').getImageData(2, 2, 1, 1).data]"
    assert browser.ask(corner)[3] == 0, "the ground is that of the page"
    ground = browser.ask("getComputedStyle(document.querySelector('#explorer-map')).backgroundColor")
    assert ground == ("rgb(24, 31, 37)" if dark else "rgb(241, 245, 248)")
    if width == 360:
        small = browser.ask(
            "[...document.querySelectorAll('#explorer button, #explorer select, #explorer input:not([type=checkbox]), "
            "#explorer .chip')].filter(one => one.offsetHeight && one.offsetHeight < 44).map(one => one.outerHTML)"
        )
        assert small == []
    assert browser.complaints == []


def test_without_scripts_the_rest_of_the_page_is_there(browser: Any, page: Path) -> None:
    browser.open(page, scripts=False)
    markup = browser.call("DOM.getOuterHTML", nodeId=browser.call("DOM.getDocument")["root"]["nodeId"])["outerHTML"]
    assert '<section id="explorer" aria-labelledby="explorer-heading" hidden' in markup
    assert "needs JavaScript" in markup
    browser.call("Emulation.setScriptExecutionDisabled", value=False)


def test_ids_and_names_from_data_stay_text(browser: Any, make_report: Callable[..., Report], tmp_path: Path) -> None:
    report = make_report(6)
    places = report.places
    assert places.truth is not None
    ids = tuple(f"{place}{HOSTILE}" for place in range(6))
    truth = places.truth.assign(id=ids).rename(columns={"fraction_water": f"fraction_{HOSTILE}"})
    index = places.index.assign(id=ids, store=HOSTILE, flags=[[HOSTILE]] * 6, orbit_passes=[[HOSTILE] * 4] * 6)
    path = tmp_path / "hostile.html"
    path.write_text(render(replace(report, places=replace(places, ids=ids, index=index, truth=truth))), "utf-8")
    browser.open(path)
    browser.click(".nearest button")
    browser.ask("document.querySelector('#explorer-search').focus()")
    browser.press("ArrowDown")
    assert browser.ask(f"document.querySelector('{SELECTED}').textContent") in ids
    assert browser.ask("document.querySelectorAll('#explorer img, #explorer script').length") == 0
    assert browser.complaints == []


@pytest.mark.parametrize("count", [1, 2, 6])
def test_few_places_at_unknown_positions(
    browser: Any, make_report: Callable[..., Report], tmp_path: Path, count: int
) -> None:
    report = make_report(count, truth=False)
    report.places.index[["latitude", "longitude"]] = np.nan
    report.places.index["dates"] = [[np.datetime64("NaT")] * 4] * count
    report.places.index["orbit_passes"] = [["unknown"] * 4] * count
    report.places.index["relative_orbits"] = [[0] * 4] * count
    path = tmp_path / "few.html"
    path.write_text(render(report), encoding="utf-8")
    browser.open(path)
    words = browser.text("#explorer")
    assert "There is no map" in words
    assert ("There is no projection" in words) == (count < 3)
    assert "date not known\norbit not known" in words
    assert browser.ask("[...document.querySelectorAll('.tools > *')].filter(tool => tool.offsetHeight).length") == 3
    browser.ask("document.querySelector('#explorer-search').focus()")
    browser.press("ArrowDown", "ArrowDown", "Enter")
    assert browser.text(SELECTED) == report.places.ids[0]
    assert browser.complaints == []


def test_a_page_of_many_places_says_which_have_pictures(
    browser: Any, make_report: Callable[..., Report], tmp_path: Path
) -> None:
    path = tmp_path / "many.html"
    path.write_text(render(make_report(3000)), encoding="utf-8")
    browser.open(path)
    browser.ask("document.querySelector('#explorer-search').focus()")
    browser.press(*"0000001", "Enter")
    shown = browser.text("#explorer-facts")
    assert "evenly chosen; this is not one of them" in shown
    assert "2020-02-21" in shown
    browser.click("#explorer-pictured")
    pictured = int(browser.text("#explorer-count").split()[0])
    assert f"of {pictured} of 3,000 places" in shown
    assert 100 < pictured < 1000
    assert browser.complaints == []

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sarpipe.cubes import CubeSet
from sarpipe.preprocess.place import make_cube
from sarpipe.preprocess.recipe import SarRecipe
from sarpipe.report import Report, render
from sarpipe.report.record import quarantine_section
from sarpipe.ssl4eo import find_stores, read_store

VOID = {"meta", "link", "img", "br", "input"}
LEAF = {"g", "path", "use", "image", "rect", "stop"}
HOSTILE = "</style></title><script>alert(1)</script><img src=http://x.invalid onerror=alert(1)>\"'$\\bad$&"


class Page(HTMLParser):
    """Checks the nesting while it reads, and keeps what the tests ask for."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.feed(document)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in LEAF | VOID
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, name: str) -> list[str]:
        return [value for _, attribute, value in self.attributes if attribute == name]


def assert_sound(document: str) -> Page:
    page = Page(document)
    ids = page.all("id")
    assert len(ids) == len(set(ids))
    for target in [*page.all("href"), *page.all("aria-labelledby")]:
        assert target.startswith("data:") or target.removeprefix("#") in ids
    assert all(source.startswith("data:image/png;base64,") for source in page.all("src"))
    assert not {"iframe", "object", "embed", "form", "base"} & set(page.tags)
    assert_the_only_script_is_that_of_the_policy(document, page)
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    headings = [int(tag[1]) for tag in page.tags if tag in ("h1", "h2", "h3")]
    assert headings[0] == 1
    assert headings.count(1) == 1
    assert max(np.diff(headings)) <= 1
    assert "nan" not in page.text.lower().split()
    return page


def assert_the_only_script_is_that_of_the_policy(document: str, page: Page) -> None:
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", document, flags=re.DOTALL)
    assert len(scripts) == page.tags.count("script") == 3
    for attributes, data in scripts[:2]:
        assert attributes.startswith(' type="application/json" id="explorer-')
        json.loads(data)
    assert scripts[2][0] == ""
    digest = base64.b64encode(hashlib.sha256(scripts[2][1].encode()).digest()).decode()
    policy = next(value for value in page.all("content") if value.startswith("default-src 'none'"))
    assert policy.split("script-src ")[1].split(";")[0] == f"'sha256-{digest}'"
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|Function\(", scripts[2][1])


@pytest.fixture(scope="module")
def document_of_six(make_report: Callable[..., Report]) -> str:
    return render(make_report(6))


@pytest.fixture(scope="module")
def page_of_six(document_of_six: str) -> Page:
    return assert_sound(document_of_six)


@pytest.mark.parametrize(("count", "truth"), [(1, True), (2, False), (6, False), (256, True), (1600, True)])
def test_the_page_is_sound_and_small_for_any_number_of_places(
    make_report: Callable[..., Report], count: int, truth: bool
) -> None:
    document = render(make_report(count, truth=truth))
    assert_sound(document)
    assert len(document.encode()) < 9_000_000


def test_the_same_report_gives_the_same_bytes(make_report: Callable[..., Report], document_of_six: str) -> None:
    assert render(make_report(6)) == document_of_six


def test_the_headline_says_what_each_figure_is_beside(page_of_six: Page) -> None:
    words = page_of_six.text
    assert "Places embedded 6 of 7 that went in; 1 in quarantine" in words
    assert "mean R² 0.51 beside 0.31 random weights, 0.61 band statistics" in words
    assert "RankMe 51.2 of 1,024 dimensions; beside 31.3 random weights" in words


def test_a_loss_is_said_as_plainly_as_a_win(page_of_six: Page) -> None:
    words = page_of_six.text
    assert "The embedding loses to band statistics by 0.10." in words
    assert "mean R² against random weights 6 0.199 0.150 to 0.250 win" in words
    assert "mean R² against band statistics 6 −0.102 −0.140 to −0.060 loss" in words
    assert "R² of season amplitude against band statistics 6 0.300 not measured not decided" in words
    assert "recall@1 against band statistics 6 −0.020 −0.100 to 0.060 no difference shown" in words


def test_an_account_that_does_not_close_is_said(make_report: Callable[..., Report], page_of_six: Page) -> None:
    assert "does not close" not in page_of_six.text
    lost = replace(make_report(6), summary={"places": {"in": 9, "embedded": 6, "quarantined": 1}})
    assert "The account does not close: 9 places went in, 6 were embedded and 1 are in quarantine." in render(lost)


def test_what_was_not_measured_is_said_to_be_so(make_report: Callable[..., Report]) -> None:
    methods = {
        "sarpipe": {"dimensions": 1024, "rankme": None, "retrieval": None, "probe": None, "mean_r2": None},
        "random_weights": {"dimensions": 1024, "rankme": float("nan"), "retrieval": {"recall_at_1": None, "n": 6}},
    }
    sparse = replace(
        make_report(6),
        figures={"n": 6, "methods": methods, "differences": [], "claims": [], "notes": []},
        losses=pd.DataFrame(columns=["step", "epoch", "loss", "learning_rate"]),
        monitors=None,
        compression={},
        quarantine=pd.DataFrame(columns=["id", "store", "step", "code", "reason", "helps"]),
        provenance={},
    )
    page = assert_sound(render(sparse))
    assert page.text.count("not measured") >= 3 + 2 * 6
    assert "No training was recorded" in page.text
    assert "Empty: no place was refused." in page.text
    assert "None" not in page.text
    assert_sound(render(replace(sparse, figures={})))


def test_equal_vectors_and_places_without_data_do_not_break_the_page(make_report: Callable[..., Report]) -> None:
    report = make_report(4)
    report.places.index[["latitude", "longitude"]] = np.nan
    report.places.index["dates"] = [[np.datetime64("NaT")] * 4] * 4
    report.places.index["orbit_passes"] = [["unknown"] * 4] * 4
    report.places.cubes[:] = np.nan
    page = assert_sound(render(replace(report, vectors=np.ones_like(report.vectors))))
    assert "All embeddings are equal" in page.text
    assert "position not known · dates and orbits not known" in page.text


@pytest.mark.parametrize("dates", [1, 2])
def test_places_of_fewer_dates(make_report: Callable[..., Report], dates: int) -> None:
    report = make_report(4)
    for name in ("dates", "orbit_passes"):
        report.places.index[name] = [row[:dates] for row in report.places.index[name]]
    report.places.index["flags"] = [["single_date", "partly_valid"] if dates == 1 else ["two_dates"]] * 4
    if dates == 1:
        report.places.cubes[:, 4:] = np.nan
    page = assert_sound(render(report))
    shown = "2020-02-21 descending" if dates == 1 else "2020-02-21 descending · 2020-05-27 ascending"
    assert f"{shown} · {'single date · partly valid' if dates == 1 else 'two dates'}" in page.text
    assert page.text.count("no data") >= (8 if dates == 1 else 0)
    assert not re.search(r"\bnan\b", page.text, re.IGNORECASE)


def test_nothing_from_data_becomes_markup(make_report: Callable[..., Report]) -> None:
    report = make_report(6)
    places = report.places
    ids = (HOSTILE, *places.ids[1:])
    truth = places.truth.assign(id=ids).rename(columns={"fraction_water": f"fraction_{HOSTILE}"})
    passes = [[HOSTILE, "ascending", "ascending", "ascending"]] * 6
    report = replace(
        report,
        title=HOSTILE,
        summary={"places": {}, HOSTILE: HOSTILE},
        places=replace(places, ids=ids, index=places.index.assign(id=ids, orbit_passes=passes), truth=truth),
        figures={
            "n": 6,
            "methods": {"sarpipe": report.figures["methods"]["sarpipe"], HOSTILE: {"probe": {HOSTILE: {"r2": 1.0}}}},
            "differences": [{"measure": HOSTILE, "baseline": HOSTILE, "difference": 1.0, "interval": [0.5, 1.5]}],
            "claims": [HOSTILE],
            "notes": [HOSTILE],
        },
        monitors=pd.DataFrame({"epoch": [0, 1], HOSTILE: [1.0, 2.0]}),
        compression={HOSTILE: {HOSTILE: 1}},
        quarantine=pd.DataFrame({name: [HOSTILE] for name in ("id", "store", "step", "code", "reason", "helps")}),
        provenance={HOSTILE: HOSTILE},
    )
    page = assert_sound(render(report))
    assert page.text.count(HOSTILE) >= 12


def test_the_quarantine_is_named_and_cut_where_it_is_long() -> None:
    said = {"step": "open", "code": "schema", "reason": "no band vh", "helps": "mend it"}
    whole_store = {"id": None, "store": "store_000009", **said}
    many = [
        {"id": f"q{row}", "store": "s", "step": "cube", "code": "no-data", "reason": "r" * 10_000, "helps": ""}
        for row in range(25_000)
    ]
    section = quarantine_section(pd.DataFrame([whole_store, *many]))
    page = Page(section)
    assert "25,001 entries" in page.text
    assert "all store_000009 open schema no band vh mend it" in page.text
    assert "24,801 more are not shown. The full list is in the folder quarantine/ of the output." in page.text
    assert "sarpipe quarantine --id ID" in page.text
    assert len(section) < 200_000


def test_the_page_of_real_places(make_report: Callable[..., Report], real_data: Path) -> None:
    store = read_store(find_stores(real_data / "S1GRD")[0])
    made = [make_cube(place, SarRecipe()) for place in store.db]
    index = pd.DataFrame({"id": store.ids, "latitude": store.latitude, "longitude": store.longitude})
    index["dates"], index["orbit_passes"] = list(store.dates), store.orbit_passes
    cubes = np.stack([cube.cube for cube in made])
    frames = np.stack([cube.frames for cube in made]).astype(np.float16)
    page = assert_sound(render(replace(make_report(6), places=CubeSet(store.ids, cubes, frames, index, None))))
    assert all(place in page.text for place in store.ids)
    assert page.tags.count("h3") == 6 + 1


def test_a_browser_shows_it_without_complaint_or_sideways_scrolling(
    make_report: Callable[..., Report], browser: Any, tmp_path: Path
) -> None:
    report = make_report(256)
    long = "x" * 200
    report = replace(report, title=long, summary={**report.summary, "source": f"/{long}"})
    (tmp_path / "page.html").write_text(render(report), encoding="utf-8")
    browser.open(tmp_path / "page.html", width=390)
    root = "document.documentElement"
    assert browser.ask(f"{root}.scrollWidth - {root}.clientWidth") == 0
    assert browser.ask("[...document.images].filter(image => image.naturalWidth > 0).length") == 6 * 12 + 3
    assert browser.complaints == []

"""The examples of docs/python.md, run; and the command, on what one whole run has made."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import sarpipe
from sarpipe.errors import UsageError
from sarpipe.flows.cli import main
from sarpipe.report.projection import principal_components
from sarpipe.settings import resolve
from sarpipe.simulate import simulate
from sarpipe.stages import straight

ROOT = Path(__file__).resolve().parent.parent.parent
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(), flags=re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, scheduler: str) -> Path:
    """A folder with ``data`` (32 simulated places in more than five blocks, embedded) and ``labels.csv``."""
    folder = tmp_path_factory.mktemp("notebook")
    simulate(folder / "stores", stores=8, places=4, seed=5)
    tiny = {"train.epochs": 1, "train.batch_size": 16, "device": "cpu"}
    settings = resolve(data=folder / "data", overrides=tiny, dask=scheduler)
    straight.preprocess(settings, str(folder / "stores"), lambda *_: None)
    for stage in ("train", "embed"):
        straight.later(stage, settings, lambda *_: None)
    truth = next((folder / "data" / "cubes").glob("*/set-*/truth.parquet"))
    pd.read_parquet(truth).to_csv(folder / "labels.csv", index=False)
    return folder


@pytest.mark.parametrize("block", BLOCKS, ids=[re.search(r"(\w+)\(", block)[1] for block in BLOCKS])  # type: ignore[index]
def test_the_examples_of_the_docs_run(block: str, folder: Path) -> None:
    assert len([line for line in block.splitlines() if line and "import" not in line]) <= 5
    done = subprocess.run([sys.executable, "-c", block], cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_there_are_examples_to_run() -> None:
    assert len(BLOCKS) == 4


def test_the_import_is_light() -> None:
    code = "import sys, sarpipe\ndir(sarpipe)\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert set(done.stdout.split()).isdisjoint({"numpy", "pandas", "torch", "pyarrow", "prefect", "dask"})
    with pytest.raises(AttributeError, match="no attribute 'serach'"):
        sarpipe.serach  # noqa: B018


@pytest.fixture(scope="module")
def places(folder: Path) -> sarpipe.Places:
    return sarpipe.open_embeddings(folder / "data")


def test_a_cube_of_a_place_finds_that_place(places: sarpipe.Places, folder: Path) -> None:
    unit = next((folder / "data" / "cubes").glob("*/ssl4eos12*"))
    ids = pd.read_parquet(unit / "index.parquet")["id"]
    hits = places.search(cube=np.load(unit / "cubes.npy")[2], k=2)
    assert hits["id"][0] == ids[2]
    assert hits["similarity"][0] == pytest.approx(1, abs=1e-6)
    assert places.search(vector=places.vectors[9], k=1)["id"][0] == places.ids[9]


def test_the_api_finds_what_the_command_finds(
    places: sarpipe.Places, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["search", "--id", places.ids[3], "--data", str(folder / "data"), "-k", "4", "--json"]) == 0
    told = [hit["id"] for hit in json.loads(capsys.readouterr().out)["hits"]]
    assert places.search(id=places.ids[3], k=4)["id"].tolist() == told


def test_wrong_questions_are_answered_with_what_to_type(places: sarpipe.Places) -> None:
    with pytest.raises(UsageError, match="one of id, at, cube and vector"):
        places.search()
    with pytest.raises(UsageError, match="the cube is float64"):
        places.search(cube=np.zeros((3, 64, 64)))
    with pytest.raises(UsageError, match="k is 0"):
        places.search(id=places.ids[0], k=0)


def test_a_probe_reads_what_is_in_the_vectors_and_not_what_is_not(places: sarpipe.Places) -> None:
    labels = pd.DataFrame(index=pd.Index(places.ids, name="id"))
    labels["planted"] = principal_components(places.vectors, 1)[0][:, 0]
    labels["noise"] = np.random.default_rng(0).standard_normal(len(places))
    labels["few"] = labels["noise"].where(np.arange(len(places)) < 10)
    labels["side"] = np.where(labels["planted"] > labels["planted"].median(), "above", "below")
    score = sarpipe.probe(places, labels)
    planted, side, few = (score.loc[name] for name in ("planted", "side", "few"))
    assert planted["measure"] == "R²"
    assert planted["value"] > 0.5
    assert planted["low"] <= planted["value"] <= planted["high"]
    assert planted["gap_low"] <= planted["value"] - planted["position"] <= planted["gap_high"]
    assert score.loc["noise", "value"] < 0.3
    assert planted["n"] == len(places)
    assert side["measure"] == "balanced accuracy"
    assert side["value"] > 0.7
    assert np.isnan(few["value"])
    assert "10 places have it" in few["note"]


def test_a_probe_says_where_nothing_keeps_neighbours_apart(places: sarpipe.Places) -> None:
    embeddings = places.embeddings
    index = embeddings.index.assign(latitude=np.nan, longitude=np.nan)
    nowhere = replace(places, embeddings=replace(embeddings, index=index))
    score = sarpipe.probe(nowhere, pd.Series(np.arange(len(places)), index=list(places.ids)))
    assert "the position of 32 places is unknown" in score["note"].iloc[0]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({"0": 1.0}, "no label is of one of these 32 places"),
        (pd.Series({"a": "water"}), "no label is of one of these 32 places"),
        (pd.DataFrame({"id": ["a", "a"], "x": [1, 2]}), "'a' twice"),
        (pd.DataFrame({"id": ["a"]}), "have the columns id"),
        (pd.DataFrame({"place": ["a"], "x": [1]}), "say of no place: their columns are place, x"),
        ("/no/such.csv", "do not exist"),
    ],
)
def test_labels_that_cannot_be_probed_are_refused(places: sarpipe.Places, labels: object, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        sarpipe.probe(places, labels)  # type: ignore[arg-type]


class Words(HTMLParser):
    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)


@pytest.mark.parametrize("kind", ["map", "projection"])
def test_a_plot_shows_numbers_and_classes_and_is_escaped(places: sarpipe.Places, kind: str, tmp_path: Path) -> None:
    hostile = "<script>$\\bad$"
    classes = pd.Series([hostile, "b"] * 16, index=list(places.ids), name=hostile)
    document = places.plot(color=classes, kind=kind)._repr_html_()  # type: ignore[arg-type]
    assert "script" not in Words(document).tags
    assert "&lt;script&gt;" in document
    plain = places.plot(kind=kind)  # type: ignore[arg-type]
    assert "32 places" in plain._repr_html_()
    plain.save(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UsageError, match="no ending of a picture"):
        plain.save(tmp_path / "plot.docx")
    with pytest.raises(UsageError, match="missing is no folder"):
        plain.save(tmp_path / "missing" / "plot.png")


def test_geopandas_gets_footprints(places: sarpipe.Places) -> None:
    frame = places.to_geopandas()
    assert frame.crs.to_string() == "OGC:CRS84"
    assert frame.index.tolist() == list(places.ids)
    assert frame.geometry.is_valid.all()


@pytest.fixture(scope="module")
def page(places: sarpipe.Places, folder: Path) -> Path:
    path = folder / "search.html"
    assert main(["search", "--id", places.ids[3], "--data", str(folder / "data"), "-k", "3", "--out", str(path)]) == 0
    return path


def test_the_page_shows_query_and_hits(page: Path, places: sarpipe.Places) -> None:
    document = page.read_text()
    hits = places.search(id=places.ids[3], k=3)
    for rank, place in enumerate(hits["id"], 1):
        assert f"{rank}. {place}, similarity {hits['similarity'][rank - 1]:.3f}" in document
    assert Words(document).tags.count("article") == 4
    assert "script" not in Words(document).tags


def test_without_the_cubes_the_page_says_so(folder: Path, tmp_path: Path, places: sarpipe.Places) -> None:
    shutil.copytree(folder / "data" / "embeddings", tmp_path / "embeddings")
    out = tmp_path / "page.html"
    assert main(["search", "--id", places.ids[3], "--data", str(tmp_path), "--out", str(out)]) == 0
    assert "cannot be shown" in out.read_text()


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium")
def test_a_browser_shows_the_page_without_complaint_or_sideways_scrolling(page: Path, tmp_path: Path) -> None:
    shutil.copy(page, tmp_path / "page.html")
    (tmp_path / "phone.html").write_text(
        '<!DOCTYPE html><iframe style="width:390px;height:800px;border:0" src="page.html"></iframe><script>'
        'document.querySelector("iframe").onload = event => { const root = event.target.contentDocument;'
        " document.body.dataset.overflow = root.documentElement.scrollWidth - root.documentElement.clientWidth;"
        " document.body.dataset.pictures = [...root.images].filter(image => image.naturalWidth > 0).length }</script>"
    )
    options = "--headless --no-sandbox --disable-gpu --allow-file-access-from-files --enable-logging=stderr --v=0"
    done = subprocess.run(
        ["chromium", *options.split(), f"--user-data-dir={tmp_path}/profile", "--dump-dom", tmp_path / "phone.html"],
        capture_output=True,
        text=True,
        timeout=200,
        check=True,
    )
    assert "CONSOLE" not in done.stderr
    assert 'data-overflow="0"' in done.stdout
    assert f'data-pictures="{4 * 12 + 3}"' in done.stdout

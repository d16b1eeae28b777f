import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from sarpipe.stages import straight
from sarpipe.stages.chain import plan, summarise
from sarpipe.stages.places import load_cubes
from sarpipe.storage import open_verified

DOCS = Path(__file__).resolve().parent.parent.parent / "docs" / "formats.md"


def made(run: Any, **overrides: Any) -> dict[str, Any]:
    settings = run.settings(**overrides)
    return summarise(settings, {"preprocess": straight.preprocess(settings, str(run.stores), lambda *_: None)})


def contents(run: Any, pattern: str) -> dict[str, tuple[bytes, int]]:
    return {name: content for name, content in run.files().items() if re.search(pattern, name)}


def test_it_is_made_when_asked_for_and_leaves_the_units_as_they_are(rerun: Any) -> None:
    before = contents(rerun, r"ssl4eos12")
    assert not (rerun.data / made(rerun)["outputs"]["cubes"] / ".." / "parquet").exists()
    states = [step.state for step in plan(rerun.settings(format="parquet"), "run", str(rerun.stores))]
    assert states == ["partial"] * 2 + ["done"] * 4
    summary = made(rerun, format="parquet")
    assert summary["units"] == {"total": 2, "computed": 0, "reused": 2, "refused": 0}
    assert {name: content for name, content in contents(rerun, r"ssl4eos12").items() if name in before} == before
    assert len(contents(rerun, r"parquet/ssl4eos12.*/cubes\.parquet$")) == 2
    # Again: nothing is touched.
    all_of_it = contents(rerun, r"parquet/ssl4eos12")
    made(rerun, format="parquet")
    assert contents(rerun, r"parquet/ssl4eos12") == all_of_it


@pytest.mark.parametrize("how", ["deleted", "damaged"])
def test_only_what_is_missing_is_made_again_with_the_same_bytes(rerun: Any, how: str) -> None:
    made(rerun, format="parquet")
    before = contents(rerun, r"ssl4eos12")
    folder = sorted(rerun.data.glob("cubes/sar-*/parquet/ssl4eos12*"))[0]
    if how == "deleted":
        shutil.rmtree(folder)
    else:
        file = folder / "cubes.parquet"
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    assert made(rerun, format="parquet")["units"]["computed"] == 0
    after = contents(rerun, r"ssl4eos12")
    assert {name: content for name, (content, _) in after.items()} == {name: old for name, (old, _) in before.items()}
    changed = {name for name in after if after[name] != before[name]}
    assert {str(Path(name).parent) for name in changed} == {str(folder.relative_to(rerun.data))}


def test_the_example_of_the_documentation_reads_the_cubes_of_the_set(
    fresh: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = fresh()
    summary = made(run, format="parquet")
    monkeypatch.chdir(Path(summary["outputs"]["cubes_parquet"]).parent)
    (example,) = [text for text in re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.S) if "files.txt" in text]
    found: dict[str, Any] = {}
    exec(example, found)
    places = load_cubes(open_verified(Path(summary["outputs"]["cubes"])))
    assert found["table"]["id"].to_pylist() == list(places.ids)
    assert np.array_equal(found["cubes"], places.cubes, equal_nan=True)
    assert found["channels"][0] == "mean_vv"


def test_files_of_other_runs_are_not_listed(rerun: Any) -> None:
    made(rerun, format="parquet")
    one = sorted(rerun.stores.glob("*.zip"))[0]
    settings = rerun.settings(format="parquet")
    straight.preprocess(settings, str(one), lambda *_: None)
    folder = settings.cubes_folder / "parquet"
    (name,) = (folder / "files.txt").read_text().split()
    assert pq.read_metadata(folder / name).num_rows == 5

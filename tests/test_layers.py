import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively, which hides the layer"
            yield from (f"{node.module}.{name.name}" for name in node.names)


def offenders(folder: str, forbidden: tuple[str, ...]) -> list[str]:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files
        for name in imports(path)
        if any(name == bad or name.startswith(f"{bad}.") for bad in forbidden)
    ]


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("sarpipe", ("prefect", "sarpipe.tasks", "sarpipe.flows", "tasks", "flows")),
        ("tasks", ("sarpipe.flows", "flows", "tasks")),
        ("flows", ("flows", "tasks")),
        *(
            (f"sarpipe/{core}", ("dask", "distributed", "zarr", "sarpipe.cluster", "sarpipe.stages"))
            for core in ("model", "ssl", "train", "preprocess", "embeddings", "evaluate", "report")
            if core != "embeddings"
        ),
        ("sarpipe/storage", ("sarpipe.ssl4eo", "sarpipe.preprocess", "sarpipe.stages", "torch", "numpy")),
    ],
)
def test_layers_import_in_one_direction(folder: str, forbidden: tuple[str, ...]) -> None:
    assert offenders(folder, forbidden) == []


def loaded_by(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    return set(done.stdout.split())


def test_the_whole_library_works_without_prefect() -> None:
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted((ROOT / "sarpipe").rglob("*.py"))
    ]
    loaded = loaded_by("\n".join(f"import {name}" for name in names))
    assert set(names) <= loaded
    assert "prefect" not in loaded


def test_help_loads_nothing_heavy() -> None:
    loaded = loaded_by("import sarpipe.flows.cli as cli\ncli._parser()")
    assert loaded.isdisjoint({"numpy", "pandas", "torch", "prefect", "dask", "distributed", "cv2", "pydantic", "rich"})


def test_reading_settings_does_not_load_torch() -> None:
    assert "torch" not in loaded_by("import sarpipe.settings, sarpipe.stages.chain")


def test_training_runs_where_there_is_neither_prefect_nor_dask_nor_zarr() -> None:
    code = """
import sys
bare = ("prefect", "dask", "distributed", "zarr", "numcodecs", "cv2", "scipy", "sklearn", "skimage", "matplotlib")
sys.modules.update(dict.fromkeys(bare))  # importing any of them fails
import tempfile, pathlib, numpy as np, pandas as pd
from sarpipe.cubes import CubeSet
from sarpipe.preprocess.temporal import statistics
from sarpipe.train import TrainSettings
from sarpipe.train.loop import train
frames = np.random.default_rng(0).normal(size=(4, 4, 4, 64, 64)).astype(np.float16)
index = pd.DataFrame({"latitude": [0.0, 20, 40, 60], "longitude": 0.0})
cubes = CubeSet(tuple("abcd"), statistics(frames), frames, index, None)
with tempfile.TemporaryDirectory() as folder:
    settings = TrainSettings(epochs=1, batch_size=2)
    print(len(train(cubes, settings, pathlib.Path(folder), device="cpu").losses))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd="/")
    assert (done.stdout, done.returncode) == ("2\n", 0), done.stderr

"""The benchmark of training compares the same training, on a machine that has no more than it says it needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
NOT_NEEDED = [
    *("prefect", "dask", "distributed", "zarr", "numcodecs", "fsspec", "httpx", "pyarrow", "xarray", "cv2", "skimage"),
    *("scipy", "sklearn", "matplotlib", "PIL", "shapely", "pyproj", "rich", "yaml"),
]

BROUGHT = ["pydantic", "safetensors"]


def without(packages: list[str], code: str) -> subprocess.CompletedProcess[str]:
    hidden = f"import sys\nsys.path.insert(0, 'benchmarks')\nsys.modules.update(dict.fromkeys({packages}))\n"
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}  # threads that spin on a busy machine take many times as long
    command = [sys.executable, "-c", hidden + code]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=alone)


@pytest.fixture(scope="module", params=["all its packages", "a bare machine"])
def measured(request, tmp_path_factory):
    code = f"""
import argparse, json, pathlib, train
scratch = pathlib.Path({str(tmp_path_factory.mktemp("cubes"))!r})
cubes = train._cubes(argparse.Namespace(cubes=None, places=64, scratch=scratch, device="cpu"))
print(json.dumps([train._same_losses(cubes), train._flop()]))
"""
    done = without([*NOT_NEEDED, *(BROUGHT if request.param == "a bare machine" else [])], code)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_plain_loop_has_the_losses_of_the_program(measured):
    (losses, _) = measured
    assert losses["steps"] == 4
    assert losses["first_difference"] < 1e-5
    assert losses["largest_difference"] < 1e-3


def test_the_arithmetic_of_a_view_is_that_of_its_layers(measured):
    (_, (forward, training)) = measured
    widths, sides = (12, 64, 128, 256, 512), (32, 16, 8, 4)
    kernels = [9 * a * b * side**2 for a, b, side in zip(widths, widths[1:], sides, strict=False)]
    tokens, width = 16, 128
    transformer = 2 * tokens * width * (4 * width + 2 * 256)
    encoder = 2 * (sum(kernels) + tokens * 512 * width + transformer)
    # Tokens times tokens, two thousandths of it all, torch does not count on a CPU.
    assert forward == pytest.approx(encoder, rel=3e-3)
    # The gradient of the views themselves is not taken.
    head = 2 * 1024 * (1024 + 128)
    assert training == pytest.approx(3 * (encoder + head) - 2 * kernels[0], rel=3e-3)


def test_a_machine_that_lacks_a_package_is_told_how_to_bring_it():
    done = without(["numpy"], "import train")
    assert done.returncode == 1
    assert "numpy" in done.stderr.splitlines()[0]
    assert "pip install --target extra pydantic safetensors" in done.stderr


def test_settings_on_a_bare_machine_are_the_same():
    code = """
import train
from sarpipe.ssl.view_settings import ViewSettings
for given in ({}, {"preset": "original"}, {"loss": "vicreg", "views": {"speckle": 0.0}}):
    print(train.TrainSettings(**given).model_dump())
print(train.TrainSettings.of_preset("original", epochs=3).views.model_dump() == ViewSettings().model_dump())
"""
    bare, whole = (without([*NOT_NEEDED, *hidden], code) for hidden in (BROUGHT, []))
    assert not bare.returncode, bare.stderr
    assert bare.stdout == whole.stdout
    assert bare.stdout.endswith("False\n")


def test_a_whole_run_says_how_many_places_a_second_it_takes(tmp_path):
    code = f"""
import argparse, json, pathlib, torch, train
scratch = pathlib.Path({str(tmp_path)!r})
cubes = train._cubes(argparse.Namespace(cubes=None, places=128, scratch=scratch, device="cpu"))
print(json.dumps(train._run(cubes, torch.device("cpu"))))
"""
    done = without(NOT_NEEDED, code)
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    assert run["places"] == 128
    assert run["places_per_s"] > 0
    bare = without([*NOT_NEEDED, *BROUGHT], code)
    assert json.loads(bare.stdout) is None
    assert "there is no safetensors" in bare.stderr


def test_contenders_that_end_are_left_out():
    code = """
import subprocess, sys, train
command = [sys.executable, "-c", "raise SystemExit"]
ended = subprocess.Popen(command, stdin=-1, stdout=-1, text=True, start_new_session=True)
print(train._asked(ended, 1))
"""
    done = without(NOT_NEEDED, code)
    assert done.stdout == "None\n", done.stderr

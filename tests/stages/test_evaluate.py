from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sarpipe.embeddings import read_geoparquet, write_geoparquet
from sarpipe.errors import DamagedError
from sarpipe.stages.chain import find_cubes, find_earlier
from sarpipe.stages.evaluate import make_evaluation, plan_evaluate
from sarpipe.storage import commit


def test_embeddings_that_the_model_did_not_make_are_not_given_its_figures(rerun: Any, tmp_path: Path) -> None:
    settings = rerun.settings()
    cube_set = find_cubes(settings, None)
    model, embeddings = find_earlier(settings, cube_set, "evaluate")
    table = read_geoparquet(embeddings.path("embeddings.parquet"))
    vectors = table.vectors.copy()
    vectors[-1] *= 1.01
    other = commit(
        tmp_path / "other",
        {},
        lambda to: write_geoparquet(to / "embeddings.parquet", replace(table, vectors=vectors), {}),
    )
    step = plan_evaluate(settings, cube_set, model, other)
    with pytest.raises(DamagedError, match=r"differs by 0\.99% of its length"):
        make_evaluation(step, settings, cube_set, model, other)
    assert step.folder is not None
    assert not step.folder.exists()

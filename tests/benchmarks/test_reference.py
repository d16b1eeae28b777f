"""What is measured against is the same where scikit-image is missing."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import reference


@pytest.mark.parametrize("side", [264, 128])
def test_opencv_resizes_as_scikit_image_does(side):
    images = np.random.default_rng(0).normal(-12, 5, (3, side, side)).astype(np.float32)
    images[1] = 7
    found = np.stack([reference.resized_by_opencv(image) for image in images])
    np.testing.assert_allclose(found, reference.resized(images), atol=1e-4)

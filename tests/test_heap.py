from __future__ import annotations

import ctypes
import resource

import numpy as np
import pytest

from sarpipe.heap import freed_memory_kept

pytestmark = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="needs glibc")
BYTES = 2 * 1024 * 1024
"""Above glibc's threshold of mappings, and below numpy's of huge pages: 512 of 4 KiB."""


def faults_of_an_array():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(BYTES, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_an_array_lies_where_the_one_before_it_lay_and_only_for_a_while():
    with freed_memory_kept():
        faults_of_an_array()
        kept = faults_of_an_array()
    given_back = faults_of_an_array()
    assert kept < 100
    assert given_back > 100 + kept

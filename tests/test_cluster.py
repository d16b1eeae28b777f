import os
import time

import pytest
from distributed import KilledWorker

from sarpipe.cluster import compute, dask_session
from sarpipe.errors import UsageError
from sarpipe.ssl4eo import find_stores


def test_work_is_done_in_other_processes_and_a_dead_worker_is_an_exception() -> None:
    before = dict(os.environ)
    with dask_session(1):
        assert compute(os.getpid, timeout=60) != os.getpid()
        assert compute(os.environ.get, "OMP_NUM_THREADS", timeout=60) == "1"
        with pytest.raises(KilledWorker):
            compute(os._exit, 9, timeout=120)
        assert compute(pow, 2, 3, timeout=60) == 8
    # Training runs in this process afterwards: with all its cores.
    assert dict(os.environ) == before


def test_errors_of_ours_come_back_whole(scheduler: str) -> None:
    with dask_session(1, address=scheduler), pytest.raises(UsageError) as caught:
        compute(find_stores, "/no/such/folder", timeout=60)
    assert caught.value.message == "/no/such/folder does not exist"
    assert caught.value.hint


def test_the_wait_ends_at_the_timeout(scheduler: str) -> None:
    with dask_session(1, address=scheduler), pytest.raises(TimeoutError):
        compute(time.sleep, 3, timeout=0.2)


def test_an_address_where_nothing_answers_is_named() -> None:
    with pytest.raises(UsageError, match=r"tcp://127\.0\.0\.1:9"), dask_session(1, address="tcp://127.0.0.1:9"):
        pass


def test_without_a_session_nothing_is_computed() -> None:
    with pytest.raises(LookupError):
        compute(os.getpid, timeout=1)

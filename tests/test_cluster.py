import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from distributed import Client, KilledWorker, SchedulerPlugin, get_worker

from sarpipe.cluster import compute, dask_session
from sarpipe.errors import ClusterError, UsageError
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


@pytest.mark.parametrize("address", ["banana", "tcp://127.0.0.1:notaport", "tcp://127.0.0.1", ""])
def test_what_is_no_address_is_said_at_once(address: str) -> None:
    with pytest.raises(UsageError, match="is no address of a Dask scheduler"), dask_session(1, address=address):
        pass


def test_workers_do_not_hear_an_interrupt_from_their_first_instruction_on(capfd: pytest.CaptureFixture[str]) -> None:
    started, interrupted = Event(), set[int]()
    others = children()

    def interrupt() -> None:
        while not started.wait(0.01):
            for child in children() - others:
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGINT)
                    interrupted.add(child)

    with ThreadPoolExecutor(1) as threads:
        done = threads.submit(interrupt)
        try:
            with dask_session(1):
                first = compute(os.getpid, timeout=60)
                os.kill(first, signal.SIGKILL)
                second = compute(os.getpid, timeout=60)
        finally:
            started.set()
        done.result()
    assert {first, second} <= interrupted
    assert "KeyboardInterrupt" not in capfd.readouterr().err
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()


def children() -> set[int]:
    """The processes that this one has started."""
    found = set[int]()
    for thread in Path("/proc/self/task").iterdir():
        # A thread may have ended meanwhile.
        with suppress(FileNotFoundError):
            found |= {int(child) for child in (thread / "children").read_text().split()}
    return found


def test_a_session_that_ends_leaves_no_call_waiting(scheduler: str) -> None:
    for number in range(20):
        with ThreadPoolExecutor(8) as threads:
            with dask_session(8, address=scheduler):
                calls = [threads.submit(copy_context().run, compute, abs, -1, timeout=60) for _ in range(8)]
                time.sleep(0.005 * number)
            # Whether it was done or not: it has ended, within the seconds that a session takes to look.
            for call in calls:
                error = call.exception(timeout=20)
                assert isinstance(error, ClusterError) or (error is None and call.result() == 1)


def test_without_a_session_nothing_is_computed() -> None:
    with pytest.raises(LookupError):
        compute(os.getpid, timeout=1)


def watch() -> SchedulerPlugin:
    """Counts, on the scheduler, how many calls have not ended, and how many workers by their threads have had some."""

    # Defined here, a class goes to the scheduler by its code: what cannot import the tests.
    class Watch(SchedulerPlugin):
        name = "watch"

        def __init__(self) -> None:
            self.scheduler: Any = None
            self.most = 0

        async def start(self, scheduler: Any) -> None:
            self.scheduler = scheduler

        def transition(self, *_: Any, **__: Any) -> None:
            states = [task.state in ("processing", "queued", "no-worker") for task in self.scheduler.tasks.values()]
            self.most = max(self.most, sum(states))

    return Watch()


def most_with_dask(client: Client) -> int:
    def read(dask_scheduler: Any) -> int:
        most: int = dask_scheduler.plugins["watch"].most
        return most

    return int(client.run_on_scheduler(read))


def side_by_side(calls: int, seconds: float) -> dict[int, int]:
    """So many calls, from a thread each: threads of a worker to the calls that it has had under way at a time."""

    def stay(seconds: float) -> tuple[int, int]:
        worker = get_worker()
        with worker._lock:
            worker.under_way = getattr(worker, "under_way", 0) + 1
            under_way = worker.under_way
        time.sleep(seconds)
        with worker._lock:
            worker.under_way -= 1
        return worker.state.nthreads, under_way

    def call() -> tuple[int, int]:
        return compute(stay, seconds, timeout=60)

    most: dict[int, int] = {}
    with ThreadPoolExecutor(calls) as threads:
        for future in [threads.submit(copy_context().run, call) for _ in range(calls)]:
            count, under_way = future.result()
            most[count] = max(most.get(count, 0), under_way)
    return most


def test_a_worker_has_one_call_a_thread_and_dask_one_more_a_worker(by_hand: Callable[[], Any]) -> None:
    cluster = by_hand()
    cluster.add("--nthreads", "1")
    cluster.add("--nthreads", "3")
    with dask_session(60, address=cluster.address) as client:
        client.register_plugin(watch())
        # All were filled, so that this is the bound and not a slow client.
        assert side_by_side(60, 0.05) == {1: 1, 3: 3}
        assert most_with_dask(client) == 6


def test_workers_that_join_are_given_work(by_hand: Callable[[], Any]) -> None:
    cluster = by_hand()
    cluster.add("--nthreads", "1")
    with dask_session(60, address=cluster.address) as client, ThreadPoolExecutor(1) as thread:
        client.register_plugin(watch())
        calls = thread.submit(copy_context().run, side_by_side, 60, 0.2)
        cluster.add("--nthreads", "2")
        assert calls.result() == {1: 1, 2: 2}
        assert most_with_dask(client) == 5

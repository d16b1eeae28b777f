from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import threading

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from sarpipe.errors import TrainingError
from sarpipe.train import TrainSettings
from sarpipe.train.interruption import Interruption
from sarpipe.train.loop import train

SETTINGS = TrainSettings.of_preset("original", epochs=4, batch_size=4, ema=0.9)
STEPS = 12


def trained(places, folder, steps, fast):
    """Train in a process of its own, tell each step, and leave the result in files."""

    def tell(done, total, loss):
        steps.send(done)

    result = train(
        places,
        SETTINGS,
        folder / "checkpoints",
        device="cpu",
        progress=tell,
        checkpoint_seconds=0 if fast else 3600,
    )
    weights = {name: tensor.contiguous() for name, tensor in result.encoder.state_dict().items()}
    save_file(weights, folder / "encoder.safetensors")
    result.losses.to_parquet(folder / "losses.parquet")
    result.monitors.to_parquet(folder / "monitors.parquet")


@pytest.fixture
def attempt(toy_places, forkserver):
    """Train in a process; send it a signal after so many steps of its own. Its exit code and the steps it told."""
    places = toy_places(13)

    def start(folder, number=None, after=0, fast=False):
        ours, theirs = multiprocessing.Pipe(duplex=False)
        child = forkserver.Process(target=trained, args=(places, folder, theirs, fast))
        child.start()
        theirs.close()
        told = []
        try:
            while True:
                told.append(ours.recv())
                if len(told) == after and number is not None:
                    os.kill(child.pid, number)
        except EOFError:
            child.join(60)
        return child.exitcode, told

    return start


def content(folder):
    tables = [pd.read_parquet(folder / f"{name}.parquet") for name in ("losses", "monitors")]
    return load_file(folder / "encoder.safetensors"), *tables


def test_signals_at_any_step_change_no_bit_of_the_result(attempt, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
    assert attempt(whole) == (0, list(range(1, STEPS + 1)))
    print("seed of the draws:", seed := random.randrange(2**32))
    chance = random.Random(seed)
    plan = [(signal.SIGTERM, False), (signal.SIGKILL, True), (signal.SIGINT, False), (signal.SIGKILL, True)]
    reached = []
    for number, fast in plan:
        code, told = attempt(broken, number, after=chance.randint(1, 3), fast=fast)
        # A process without Python's handlers: what SIGTERM does by itself, once the state is saved.
        assert code == (1 if number == signal.SIGINT else -number) or told[-1] == STEPS
        reached.append(told)
    code, told = attempt(broken)
    assert code == 0
    reached.append(told)
    # After SIGTERM and SIGINT no step is done twice; a kill loses what was not saved, here a step at most.
    for before, after, (number, _) in zip(reached, reached[1:], plan, strict=False):
        # One that came too late found all steps taken: the next goes on from the last checkpoint before the end.
        if after and before[-1] < STEPS:
            assert after[0] - before[-1] in ((1,) if number != signal.SIGKILL else (0, 1, 2))
    (weights, losses, monitors), (weights_, losses_, monitors_) = content(whole), content(broken)
    assert all(torch.equal(weights[name], weights_[name]) for name in weights.keys() | weights_.keys())
    assert losses.equals(losses_)
    assert monitors.equals(monitors_)


def test_handlers_are_put_back_and_a_second_signal_acts_at_once():
    calls = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: calls.append(number))
    try:
        ours = signal.getsignal(signal.SIGTERM)
        with Interruption() as interruption:
            signal.raise_signal(signal.SIGTERM)
            assert (interruption.signal, calls) == (signal.SIGTERM, [])
            signal.raise_signal(signal.SIGTERM)
            assert calls == [signal.SIGTERM]
            assert signal.getsignal(signal.SIGTERM) is ours
        with Interruption() as interruption:
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is ours
    finally:
        signal.signal(signal.SIGTERM, before)


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interruption() as interruption:
            signal.raise_signal(signal.SIGINT)
        assert interruption.signal is None
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_train_without_handlers():
    found = []

    def look():
        with Interruption():
            found.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [before]


def test_a_handler_that_lets_the_program_go_on_gets_a_saved_run_and_an_error(toy_places, tmp_path):
    calls = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: calls.append(number))
    try:

        def terminate(done, steps, loss):
            if done == 2:
                signal.raise_signal(signal.SIGTERM)

        with pytest.raises(TrainingError, match="stopped by SIGTERM after step 3 of 12"):
            train(toy_places(13), SETTINGS, tmp_path, device="cpu", progress=terminate)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert calls == [signal.SIGTERM]
    assert train(toy_places(13), SETTINGS, tmp_path, device="cpu").facts["resumed_from_step"] == 3


@pytest.fixture
def at_operation():
    """Raise SIGTERM at these operations on files below a folder."""
    watched = {"below": "", "count": 0, "at": ()}

    def watch(event, arguments):
        if (
            watched["below"]
            and event in ("open", "os.mkdir", "os.rename")
            and str(arguments[0]).startswith(watched["below"])
        ):
            watched["count"] += 1
            if watched["count"] in watched["at"]:
                signal.raise_signal(signal.SIGTERM)

    def arm(folder, *operations):
        watched.update(below=str(folder), count=0, at=operations)
        return watched

    # A hook stays for the life of the process: at the end it has nothing to watch.
    sys.addaudithook(watch)
    yield arm
    watched["below"] = ""


def test_a_signal_in_the_midst_of_a_save_changes_no_bit_and_a_second_one_ends_it_at_once(
    toy_places, tmp_path, at_operation, caplog
):
    class Ended(Exception):
        pass

    def end(number, frame):
        raise Ended

    places = toy_places(13)
    whole = train(places, SETTINGS, tmp_path / "whole", device="cpu").encoder.state_dict()
    before = signal.signal(signal.SIGTERM, end)
    try:
        for number, operations in enumerate([(47,), (44, 48)]):
            folder = tmp_path / str(number)
            at_operation(folder, *operations)
            caplog.clear()
            with pytest.raises(Ended):
                train(places, SETTINGS, folder, device="cpu", checkpoint_seconds=0)
            at_operation("")
            # The first one lets the save come to its end; the second one does not.
            assert ("it is saved" in caplog.text) is (len(operations) == 1)
            again = train(places, SETTINGS, folder, device="cpu")
            assert again.facts["resumed_from_step"] > 0
            assert all(torch.equal(whole[name], tensor) for name, tensor in again.encoder.state_dict().items())
    finally:
        signal.signal(signal.SIGTERM, before)

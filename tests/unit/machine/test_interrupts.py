"""Signals become interrupts, at once or when what must not be left half-way is done."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from container_backend.machine.interrupts import termination_interrupts

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def usual():
    """As a command has them that is started in a terminal."""
    before = {each: signal.getsignal(each) for each in SIGNALS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_each_is_an_interrupt_inside_and_what_it_was_outside(number):
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), termination_interrupts():
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("number", SIGNALS)
def test_one_that_comes_while_they_are_held_comes_afterwards(number):
    done = []
    with termination_interrupts() as interrupts:
        interrupts.hold()
        os.kill(os.getpid(), number)
        done.append("all of it")
        with pytest.raises(KeyboardInterrupt):
            interrupts.release()
    assert done == ["all of it"]


def test_none_that_came_is_none():
    with termination_interrupts() as interrupts:
        interrupts.hold()
        interrupts.release()


def test_a_closed_terminal_ends_the_process_once_it_is_no_longer_an_interrupt():
    came = []
    signal.signal(signal.SIGHUP, lambda number, _: came.append(number))
    with termination_interrupts() as interrupts:
        interrupts.hold()
        os.kill(os.getpid(), signal.SIGHUP)
        assert came == []
        interrupts.release(hangup=False)
        assert came == [signal.SIGHUP]
        os.kill(os.getpid(), signal.SIGHUP)
        assert came == [signal.SIGHUP, signal.SIGHUP]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)


def test_what_nohup_ignores_stays_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with termination_interrupts():
        os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_a_program_that_handles_ctrl_c_itself_goes_on_to():
    came = []
    signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    with termination_interrupts():
        os.kill(os.getpid(), signal.SIGINT)
    assert came == [signal.SIGINT]


def test_other_threads_handle_no_signals():
    failed = []

    def work() -> None:
        try:
            with termination_interrupts() as interrupts:
                interrupts.hold()
                interrupts.release(hangup=False)
        except BaseException as error:  # noqa: BLE001 whatever it is
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert failed == []

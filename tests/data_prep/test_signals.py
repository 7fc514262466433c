"""Signals that ask to end are handed over, ignored ones stay ignored, and all is as before afterwards."""

import os
import signal
import threading

import pytest

from data_prep.base import signals


@pytest.mark.parametrize("number", signals.ASKING)
def test_each_is_handed_over_and_put_back(number):
    """With its number; nothing else happens."""
    before, heard = signal.getsignal(number), []
    with signals.caught(heard.append):
        os.kill(os.getpid(), number)
    assert heard == [number] and signal.getsignal(number) is before


def test_an_ignored_signal_stays_ignored():
    """As SIGHUP is under nohup."""
    before, heard = signal.signal(signal.SIGHUP, signal.SIG_IGN), []
    try:
        with signals.caught(heard.append):
            os.kill(os.getpid(), signal.SIGHUP)
        assert heard == [] and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_interrupt_does_not_wait():
    """Whoever presses Ctrl-C twice means it."""
    heard = []
    with pytest.raises(KeyboardInterrupt), signals.caught(heard.append):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
    assert heard == [signal.SIGINT]


def test_another_thread_catches_nothing():
    """Python hands signals to the main thread only."""
    ran = []

    def work():
        with signals.caught(ran.append):
            ran.append("ran")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ran == ["ran"]

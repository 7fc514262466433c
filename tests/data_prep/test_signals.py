"""Signals that ask to end are handed over, ignored ones stay ignored, and all is as before afterwards."""

import os
import signal
import subprocess
import sys
import threading

import pytest
from conftest import ROOT

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


def test_the_same_request_twice_is_one():
    """`timeout` sends its signal to the process and to its group; a study's jobs hear the terminal's and the study's."""
    heard = []
    with signals.caught(heard.append):
        for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)
    assert heard == [signal.SIGINT]
    with signals.caught(heard.append):  # the next block hears the next
        os.kill(os.getpid(), signal.SIGTERM)
    assert heard == [signal.SIGINT, signal.SIGTERM]


def test_a_block_in_a_block():
    """The inner one hears it; what follows on the way out is the same request for the outer one."""
    outer, inner = [], []
    with signals.caught(outer.append):
        with signals.caught(inner.append):
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
    assert (outer, inner) == ([], [signal.SIGTERM])


def test_a_second_interrupt_does_not_wait(monkeypatch):
    """Whoever presses Ctrl-C again means it."""
    monkeypatch.setattr(signals, "SAME_SECONDS", 0.0)
    heard = []
    with pytest.raises(KeyboardInterrupt), signals.caught(heard.append):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
    assert heard == [signal.SIGINT]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_second_signal_ends_the_process(number):
    """At once, and the shell sees by what."""
    script = (
        "import os, time\n"
        "from data_prep.base import signals\n"
        "signals.SAME_SECONDS = 0.0\n"
        "with signals.caught(print):\n"
        f"    os.kill(os.getpid(), {int(number)})\n"
        f"    os.kill(os.getpid(), {int(number)})\n"
        "    time.sleep(60)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, timeout=50).returncode == -number


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

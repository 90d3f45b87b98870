"""Signals as events, and the second request to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from time import sleep

import pytest

from cygnet.session.signals import SIGHUP, SIGINT, SIGTERM, SIGUSR1, Interrupted, Signals

_HANGS = """
import os
from cygnet.session.signals import Signals
Signals()
print(flush=True)
while True:
    os.write(1, bytes(4096))
"""


def test_they_are_noted_in_order_and_handed_over_once() -> None:
    signals = Signals((SIGINT, SIGUSR1))
    try:
        os.kill(os.getpid(), SIGUSR1)
        os.kill(os.getpid(), SIGINT)
        os.kill(os.getpid(), SIGINT)  # at once: the echo of the first
        assert signals.interrupted
        assert signals.take() == [SIGUSR1, SIGINT, SIGINT]
        assert not signals.any and signals.take() == []
    finally:
        signals.close()


@pytest.mark.parametrize("number", [SIGINT, SIGTERM])
def test_a_request_to_end_raises_where_nothing_is_left_behind(number: int) -> None:
    signals = Signals()
    try:
        signals.end_at_once()
        with pytest.raises(Interrupted) as stopped:
            os.kill(os.getpid(), number)
        assert stopped.value.status == 128 + number
        os.kill(os.getpid(), number)  # its echo, while things are closed
        with pytest.raises(Interrupted):  # and one that came before
            signals.end_at_once()
        assert not signals.at_once
    finally:
        signals.close()


def test_a_hang_up_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(SIGHUP, signal.SIG_IGN)
    try:
        signals = Signals()
        os.kill(os.getpid(), SIGHUP)
        assert not signals.any
        signals.close()
        assert signal.getsignal(SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(SIGHUP, before)


@pytest.mark.parametrize("number", [SIGINT, SIGTERM])
def test_asking_again_ends_a_process_that_hangs_in_a_write(number: int) -> None:
    with subprocess.Popen([sys.executable, "-c", _HANGS], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.read(1) == b"\n"
        process.send_signal(number)
        process.send_signal(number)
        sleep(0.4)
        assert process.poll() is None
        process.send_signal(number)
        assert process.wait(timeout=60) == -number

"""Requests to stop, in processes of their own: a signal is for the whole of one."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ensemble_uq_llm.storage import stop

HEAD = """
import os, signal, sys, threading, time
from ensemble_uq_llm.storage import stop
def send(number=signal.SIGTERM):
    os.kill(os.getpid(), number)
"""


def run(script: str, **named: object) -> subprocess.CompletedProcess[str]:
    source = Path(stop.__file__).parents[2]
    return subprocess.run(
        [sys.executable, "-c", HEAD + script],
        env=os.environ | {"PYTHONPATH": str(source)}, capture_output=True, text=True, timeout=60, check=False, **named,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_signal_is_raised_where_the_program_is(name: str) -> None:
    found = run(f"""
with stop.listening():
    try:
        send(signal.{name})
        print("went on")
    except KeyboardInterrupt as error:
        print(type(error).__name__, error, stop.requested())
print(stop.requested())
""")
    assert (found.stdout, found.stderr) == (f"StopRequested {name} {name}\nNone\n", "")


def test_held_back_it_waits_for_a_check_or_the_end() -> None:
    found = run("""
with stop.listening():
    for ask in (stop.check, lambda: None):
        try:
            with stop.held_back():
                with stop.held_back():
                    if stop.requested() is None:
                        send()
                    print("whole")
                print("held back still")
                ask()
                print("at the end")
        except stop.StopRequested:
            print("stopped")
""")
    assert found.stdout.split("\n") == [
        "whole", "held back still", "stopped", "whole", "held back still", "at the end", "stopped", "",
    ]  # fmt: skip


def test_an_error_within_is_not_hidden_by_a_stop() -> None:
    found = run("""
with stop.listening():
    try:
        with stop.held_back():
            send()
            raise OSError("of ours")
    except OSError as error:
        print(error)
""")
    assert found.stdout == "of ours\n"


def test_a_second_one_ends_at_once() -> None:
    found = run(f"""
with stop.listening(), stop.held_back():
    send()
    time.sleep({stop._ONE_REQUEST} + 0.1)
    send(signal.SIGINT)
    print("went on")
""")
    assert (found.returncode, found.stdout) == (75, "")
    assert found.stderr == "\nstopped at once by a second signal, SIGINT; the same command continues\n"


def test_signals_that_come_together_are_one_request() -> None:
    """`timeout` sends its own twice, to the process and to its group; a terminal that closes does likewise."""
    found = run("""
with stop.listening(), stop.held_back():
    for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM):
        send(number)
        for _ in range(1000):
            pass
    print("whole", stop.requested(), flush=True)
    os._exit(0)
""")
    assert (found.returncode, found.stdout) == (0, "whole SIGHUP\n")


def test_what_is_ignored_stays_ignored_as_by_nohup() -> None:
    script = """
with stop.listening():
    send(signal.SIGHUP)
    print("went on", stop.requested())
"""
    found = run(script, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    assert found.stdout == "went on None\n"


@pytest.mark.parametrize(
    "swallowing",
    [
        "class Thing:\n    def __del__(self):\n        send()\n        time.sleep(0.01)\nThing()",
        "import weakref\nclass Thing: pass\nthing = Thing()\nref = weakref.ref(thing, lambda _: send())\ndel thing",
    ],
)
def test_what_python_swallows_is_asked_again(swallowing: str) -> None:
    script = f"""
with stop.listening():
    try:
        {swallowing.replace(chr(10), chr(10) + 8 * " ")}
        for _ in range(200):
            time.sleep(0.05)
        print("lost")
    except stop.StopRequested as error:
        print("stopped by", error)
"""
    found = run(script)
    assert (found.stdout, found.stderr) == ("stopped by SIGTERM\n", "")


def test_other_things_that_python_swallows_are_told_as_ever() -> None:
    found = run("""
class Thing:
    def __del__(self):
        raise ValueError("of ours")
with stop.listening():
    Thing()
""")
    assert "ValueError: of ours" in found.stderr


def test_a_thread_asks_the_whole_process() -> None:
    found = run("""
with stop.listening():
    try:
        threading.Timer(0.05, stop.request, ["SIGHUP"]).start()
        time.sleep(10)
    except stop.StopRequested as error:
        stop.request("SIGTERM")  # again changes nothing
        print("stopped by", error)
""")
    assert found.stdout == "stopped by SIGHUP\n"


def test_handlers_are_those_of_before_afterwards_and_other_ones_are_left_alone() -> None:
    def own(*_: object) -> None: ...

    before = signal.signal(signal.SIGHUP, own)
    try:
        hook, handlers = sys.unraisablehook, [signal.getsignal(each) for each in stop.SIGNALS]
        with stop.listening():
            assert signal.getsignal(signal.SIGHUP) is own
            with stop.listening():
                assert signal.getsignal(signal.SIGTERM) is stop._note
            assert signal.getsignal(signal.SIGTERM) is stop._note
        assert [signal.getsignal(each) for each in stop.SIGNALS] == handlers
        assert sys.unraisablehook is hook
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_thread_does_not_listen() -> None:
    """As where `train(...)` runs in a thread: Ctrl-C stays the main thread's KeyboardInterrupt."""
    found: list[object] = []

    def work() -> None:
        with stop.listening():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        signal.raise_signal(signal.SIGINT)


def test_a_request_is_forgotten_when_nobody_listens_any_more() -> None:
    with stop.listening():
        with pytest.raises(stop.StopRequested, match="SIGTERM"):
            signal.raise_signal(signal.SIGTERM)
        assert stop.requested() == "SIGTERM"
        with pytest.raises(stop.StopRequested, match="SIGTERM"):
            stop.check()
    stop.check()
    time.sleep(0)
    assert stop.requested() is None

"""One flag for all requests to stop: Ctrl-C, SIGTERM and SIGHUP end in the same orderly way, a second one at once.

A signal raises `StopRequested` wherever the program is. Where work can be kept it is held back instead
(`held_back`), and raised by `check` at the next place at which everything is whole.
"""

import _thread
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from ensemble_uq_llm.errors import InterruptedRunError

SIGNALS: Final = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""What asks for a stop."""

_ONE_REQUEST: Final = 0.3
"""Seconds within which signals are one request: `timeout` sends its own twice, and a terminal that closes does."""

_AFTERWARDS: Final = 0.02
"""Seconds after which a request is made again that somebody's callback has swallowed."""


class StopRequested(KeyboardInterrupt):
    """Somebody asked this process to stop; what is whole is kept, and the same command continues."""


@dataclass(slots=True)
class _State:
    """What this process was asked: by which signal, and when; how many sections hold it back; who listens."""

    signal_name: str | None = None
    since: float = 0.0
    is_swallowed: bool = False
    held_back: int = 0
    listeners: int = 0


_STATE: Final = _State()


def requested() -> str | None:
    """Return the name of the signal that asked for a stop, None where none did."""
    return _STATE.signal_name


def request(name: str) -> None:
    """Ask this process to stop, from any thread of it, as a signal of that name would: again changes nothing."""
    if _STATE.signal_name is None:
        _thread.interrupt_main(signal.Signals[name])


def check() -> None:
    """Raise StopRequested where a stop was asked for: everything is whole here."""
    if _STATE.signal_name is not None:
        raise StopRequested(_STATE.signal_name)


@contextmanager
def held_back() -> Iterator[None]:
    """Within it signals are noted only, for `check` to raise; what was noted is raised at its end at the latest.

    Raises:
        StopRequested: a stop was asked for, and nothing else was raised.
    """
    _STATE.held_back += 1
    try:
        yield
    finally:
        _STATE.held_back -= 1
    if not _STATE.held_back:
        check()


@contextmanager
def listening() -> Iterator[None]:
    """Within it signals ask for a stop, unless the caller ignores them or handles them by itself.

    Only the main thread can listen; elsewhere, and within itself, this changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = [number for number in SIGNALS if _is_default(number)]
    before = {number: signal.signal(number, _note) for number in ours}
    hook = sys.unraisablehook
    if ours:
        sys.unraisablehook = partial(_ask_again, hook)
    _STATE.listeners += 1
    try:
        yield
    finally:
        _STATE.listeners -= 1
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = hook
        if not _STATE.listeners:
            _STATE.signal_name, _STATE.is_swallowed = None, False


def _is_default(number: int) -> bool:
    return signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)


def _note(number: int, _frame: Any) -> None:
    name = signal.Signals(number).name
    if _STATE.is_swallowed:
        _STATE.is_swallowed = False
    elif _STATE.signal_name is not None:
        if time.monotonic() - _STATE.since < _ONE_REQUEST:
            return
        # Files on disk are whole at every instant, so there is nothing to wait for.
        os.write(2, f"\nstopped at once by a second signal, {name}; the same command continues\n".encode())
        os._exit(InterruptedRunError.exit_code)
    else:
        _STATE.signal_name, _STATE.since = name, time.monotonic()
    if not _STATE.held_back:
        raise StopRequested(_STATE.signal_name)


def _ask_again(hook: Callable[[Any], object], unraisable: Any) -> None:
    """Take what Python cannot raise, as in a `__del__`: a request to stop is made again once that is over."""
    if not isinstance(unraisable.exc_value, StopRequested):
        hook(unraisable)
        return
    _STATE.is_swallowed = True
    again = threading.Timer(_AFTERWARDS, _thread.interrupt_main, [signal.Signals[str(unraisable.exc_value)]])
    again.daemon = True
    again.start()

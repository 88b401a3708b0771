"""One flag for all requests to stop: Ctrl-C, SIGTERM and SIGHUP end in the same orderly way, a second one at once.

A signal raises `StopRequested` wherever the program is. Where work can be kept it is held back instead
(`held_back`), and raised by `check` at the next place at which everything is whole.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from ensemble_uq_llm.errors import InterruptedRunError

SIGNALS: Final = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""What asks for a stop."""


class StopRequested(KeyboardInterrupt):
    """Somebody asked this process to stop; what is whole is kept, and the same command continues."""


@dataclass(slots=True)
class _State:
    """What this process was asked: by which signal; how many sections hold it back; whether we listen."""

    signal_name: str | None = None
    held_back: int = 0
    listeners: int = 0


_STATE: Final = _State()


def requested() -> str | None:
    """Return the name of the signal that asked for a stop, None where none did."""
    return _STATE.signal_name


def request(name: str) -> None:
    """Ask this process to stop at its next check, as a signal of that name does."""
    _STATE.signal_name = _STATE.signal_name or name


def check() -> None:
    """Raise StopRequested where a stop was asked for: everything is whole here."""
    if _STATE.signal_name is not None:
        raise StopRequested(_STATE.signal_name)


@contextmanager
def held_back() -> Iterator[None]:
    """Within it signals are noted only, for `check` to raise."""
    _STATE.held_back += 1
    try:
        yield
    finally:
        _STATE.held_back -= 1


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
    _STATE.listeners += 1
    try:
        yield
    finally:
        _STATE.listeners -= 1
        for number, handler in before.items():
            signal.signal(number, handler)
        if not _STATE.listeners:
            _STATE.signal_name = None


def _is_default(number: int) -> bool:
    return signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)


def _note(number: int, _frame: Any) -> None:
    name = signal.Signals(number).name
    if _STATE.signal_name is not None:
        # Files on disk are whole at every instant, so there is nothing to wait for.
        os.write(2, f"\nstopped at once by a second signal, {name}; the same command continues\n".encode())
        os._exit(InterruptedRunError.exit_code)
    _STATE.signal_name = name
    if not _STATE.held_back:
        raise StopRequested(name)

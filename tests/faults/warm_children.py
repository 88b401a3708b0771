"""Cases that run in forked children with everything imported: what crashes, hangs or swells is seen from outside."""

import json
import os
import resource
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ensemble_uq_llm.errors import EnsembleUQError

EXITS = (2, 3, 5)
MOST_SECONDS = 2.0
MOST_MEGABYTES = 500
_HANGS_AFTER = 30
_CHUNK = 100


@dataclass(frozen=True)
class Verdict:
    """What became of one case."""

    case: int
    fault: str | None
    """What must not be; None where the case was answered well."""
    answer: Any = None
    """The value, or the text of the error that refused it."""
    refused: bool = False


def judged(cases: Sequence[Any], answer: Callable[[Any], Any], seconds: float = MOST_SECONDS) -> list[Verdict]:
    """Answer every case in a child; `answer` returns something that JSON can hold, or raises."""
    verdicts: list[Verdict] = []
    while len(verdicts) < len(cases):
        verdicts += _in_a_child(cases, len(verdicts), answer, seconds)
    return verdicts


def _in_a_child(cases: Sequence[Any], first: int, answer: Callable[[Any], Any], seconds: float) -> list[Verdict]:
    read_end, write_end = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of threads that a fork leaves behind
        child = os.fork()
    if child == 0:
        os.close(read_end)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        with os.fdopen(write_end, "w") as out:
            for case in range(first, min(len(cases), first + _CHUNK)):
                signal.alarm(_HANGS_AFTER)
                out.write(json.dumps(vars(_verdict(case, cases[case], answer, seconds))) + "\n")
                out.flush()
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as lines:
        verdicts = [Verdict(**json.loads(line)) for line in lines]
    status = os.waitpid(child, 0)[1]
    if status:
        verdicts.append(Verdict(first + len(verdicts), f"the process ended with {os.waitstatus_to_exitcode(status)}"))
    return verdicts


def _verdict(case: int, what: Any, answer: Callable[[Any], Any], seconds: float) -> Verdict:
    before, began = _megabytes(), time.process_time()
    fault, value, refused = None, None, False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            value = answer(what)
        except EnsembleUQError as error:
            value, refused = str(error)[:5000], True
            fault = None if error.exit_code in EXITS else f"exit code {error.exit_code}"
        except BaseException:  # noqa: BLE001  which is what is looked for
            fault = traceback.format_exc()
    if fault is None and (spent := time.process_time() - began) > seconds:
        fault = f"took {spent:.1f} s"
    if fault is None and _megabytes() - before > MOST_MEGABYTES:
        fault = f"took {_megabytes() - before:.0f} MB"
    return Verdict(case, fault, value, refused)


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

"""`events.jsonl`: every event of training, one JSON object a line."""

import dataclasses
import json
import math
import time
from io import TextIOBase
from typing import Any

from ensemble_uq_llm.training.events import Event


class EventLog:
    """A listener that appends each event to a text stream; a loss that is not finite is written as null."""

    def __init__(self, stream: TextIOBase) -> None:
        self._stream = stream

    def __call__(self, event: Event) -> None:
        """Write one event."""
        record = {"event": type(event).__name__, "time": round(time.time(), 3), **_finite(dataclasses.asdict(event))}
        self._stream.write(json.dumps(record, allow_nan=False) + "\n")
        self._stream.flush()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value

"""A long prediction in shards of rows: what is finished is kept, and an interrupted prediction goes on after it.

Where the shards are cut does not depend on when it was interrupted, so the numbers do not either.
"""

import json
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ensemble_uq_llm.errors import IntegrityError, StorageError
from ensemble_uq_llm.storage.sealed_folder import (
    new_sealed_folder,
    read_sealed_folder,
    remove_sealed_folder,
    sweep_unfinished,
)
from ensemble_uq_llm.utils.files import remove_if_empty
from ensemble_uq_llm.utils.text import first_line

PASSES: Final = 64
"""Passes of a lane in a shard: what a kill can cost, and enough that lanes wait little for each other at its end."""

_LOGITS: Final = "logits.safetensors"
_VALUES: Final = "shards.json"
_SECONDS: Final = 10.0
"""Between two parts that are kept: short predictions keep none, and long ones few."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """How a prediction is cut: tokens of a pass, and tokens of all members' rows in a shard."""

    budget: int
    shard: int

    def rows(self, lengths: Sequence[int], members: int) -> Iterator[slice]:
        """Yield the shards of sequences of these lengths."""
        start, tokens = 0, 0
        for row, length in enumerate(lengths):
            if tokens and tokens + members * length > self.shard:
                yield slice(start, row)
                start, tokens = row, 0
            tokens += members * length
        if len(lengths) > start:
            yield slice(start, len(lengths))


@dataclass(kw_only=True)
class KeptShards:
    """What is kept of one prediction, that which `made` tells: parts of several shards each, in `folder`."""

    folder: Path
    made: Mapping[str, Any]
    _waiting: list[NDArray[np.float32]] = field(default_factory=list)
    _rows: int = 0
    _last: float = field(default_factory=time.monotonic)

    def read(self) -> tuple[Cut | None, list[NDArray[np.float32]]]:
        """Return how the prediction was cut, and the logits [M, rows, C] that are there, from the first row on.

        What is of another prediction is removed; a part that is not sound is passed over, with all after it.
        """
        cut, found = None, []
        for path in sorted(self.folder.glob("rows_*")):
            try:
                values, logits_MNC = _read_part(path)
            except (IntegrityError, StorageError) as error:
                warnings.warn(f"{path}: this part of the prediction is passed over: {first_line(error)}", stacklevel=2)
                break
            if values["made"] != json.loads(json.dumps(self.made)) or values["start"] != self._rows:
                break
            cut = Cut(budget=values["budget"], shard=values["shard"])
            found.append(logits_MNC)
            self._rows += logits_MNC.shape[1]
        if not found:
            self.clear()
        return cut, found

    def add(self, logits_MNC: NDArray[np.float32], cut: Cut) -> None:
        """Take in a shard, and keep it with those before it where the last part is a while ago."""
        self._waiting.append(logits_MNC)
        if time.monotonic() - self._last >= _SECONDS:
            self.keep(cut)

    def keep(self, cut: Cut) -> None:
        """Keep what was added since the last part; where the disk refuses, a warning says so."""
        if not self._waiting:
            return
        logits_MNC = np.concatenate(self._waiting, axis=1)
        values = {"made": self.made, "start": self._rows, "budget": cut.budget, "shard": cut.shard}
        path = self.folder / f"rows_{self._rows:010d}"
        try:
            if path.exists():
                remove_sealed_folder(path, (_LOGITS, _VALUES))
            with new_sealed_folder(path) as temporary:
                (temporary / _LOGITS).write_bytes(save({"logits_MNC": logits_MNC}))
                (temporary / _VALUES).write_text(json.dumps(values), encoding="utf-8")
        except (StorageError, IntegrityError) as error:
            warnings.warn(f"{error}; the prediction goes on without keeping this part", stacklevel=3)
        else:
            self._rows += logits_MNC.shape[1]
            self._waiting.clear()
        self._last = time.monotonic()

    def clear(self) -> None:
        """Remove what is kept, as it is needed no more."""
        if not self.folder.is_dir():
            return
        sweep_unfinished(self.folder)
        for path in self.folder.glob("rows_*"):
            remove_sealed_folder(path, (_LOGITS, _VALUES))
        for each in (self.folder, self.folder.parent, self.folder.parent.parent):
            remove_if_empty(each)


def _read_part(path: Path) -> tuple[dict[str, Any], NDArray[np.float32]]:
    files = read_sealed_folder(path)
    try:
        values, logits_MNC = json.loads(files[_VALUES]), load(files[_LOGITS])["logits_MNC"]
        return {key: values[key] for key in ("made", "start", "budget", "shard")}, logits_MNC
    except (KeyError, ValueError, TypeError, SafetensorError) as error:
        raise IntegrityError(f"{path}: no part of a prediction of this version ({first_line(error)})") from None

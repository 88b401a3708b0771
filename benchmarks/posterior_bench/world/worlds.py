"""A training set drawn anew, and test sets of its own, from the synthetic world; the truth behind every row."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.data.embedded.synthetic import SETS, generate
from ensemble_uq_llm.run_folder import VALIDATION
from ensemble_uq_llm.utils.files import write_text

TRAIN: Final = "train"
SHIFTS: Final = tuple(each.name for each in SETS if each.is_shift)
UNANSWERABLE: Final = tuple(each.name for each in SETS if each.is_shift and not each.answerable)
"""The shifted sets that no reader could answer: those over which detection is averaged."""


@dataclass(frozen=True, kw_only=True)
class World:
    """The streams of one seed: every one gives other training questions and other test questions, by the same rules."""

    folder: Path
    seed: int
    test_rows: int | None = None
    """Of every test set; None for as many as the world's sets have."""

    def training_file(self, rows: int) -> Path:
        """Return the first so many rows to train on and to hold out, written if need be."""
        return self._written(TRAIN, rows)

    def test_file(self, name: str) -> Path:
        """Return the rows of a test set, written if need be."""
        return self._written(name, self.test_rows)

    def truth(self, name: str, ids: Sequence[str]) -> NDArray[np.float64]:
        """Return the true probabilities [N, C] of a test set's rows, in the order of their ids."""
        known = {each.id: each.true_probs for each in generate(name, n=self.test_rows, seed=self.seed)}
        return np.array([known[each] for each in ids], dtype=np.float64)

    def _written(self, name: str, rows: int | None) -> Path:
        # The seed and the size in the path, the set alone in the name: predictions are called by that.
        size = "all" if rows is None else str(rows)
        path = self.folder / f"world_{self.seed}" / size / f"{name}.jsonl"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            examples = generate(name, n=rows, seed=self.seed)
            lines = [json.dumps({"id": each.id, **each.fields, "answer": bool(each.label)}) for each in examples]
            write_text(path, "".join(f"{line}\n" for line in lines))
        return path


TEST_SETS: Final = (VALIDATION, *SHIFTS)
"""The set in distribution, and those beside it."""

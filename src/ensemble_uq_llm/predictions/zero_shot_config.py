"""A run's zero-shot baseline: how the base alone is asked, and where that lies."""

from pathlib import Path
from typing import Final

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.run_folder import RunFolder

ZERO_SHOT: Final = "zero_shot"
"""The key of `run.json` that says that a folder holds such a baseline, and no members."""


def is_zero_shot(folder: RunFolder) -> bool:
    """Return whether a folder holds a zero-shot baseline; raises IntegrityError where its record was altered."""
    return folder.record().get(ZERO_SHOT) is True


def zero_shot_folder(run: Path) -> Path:
    """Return where the baseline of a run lies; of a baseline that is its own folder.

    A folder of its own, because it is another ensemble: numbers of the two are compared, never measured together.

    Raises:
        IntegrityError: the run's record was altered.
    """
    return run if is_zero_shot(RunFolder(run)) else run.with_name(f"{run.name}_zero_shot")


def zero_shot_config(config: Config) -> Config:
    """Return the configuration of a run's baseline: the answer head with its mass, in the folder beside the run.

    Raises:
        IntegrityError: the run's record was altered.
    """
    changes = {"head": "answer", "answer_mass": True, "output_dir": zero_shot_folder(config.output_dir)}
    return config.model_copy(update=changes)

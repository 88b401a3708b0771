"""A run's zero-shot baseline: how the base alone is asked, and where that lies."""

from pathlib import Path
from typing import Final

from ensemble_uq_llm.config import Config

_BESIDE: Final = "_zero_shot"


def zero_shot_folder(run: Path) -> Path:
    """Return where the baseline of a run lies; of a baseline that is its own folder.

    A folder of its own, because it is another ensemble: numbers of the two are compared, never measured together.
    """
    return run if run.name.endswith(_BESIDE) else run.with_name(f"{run.name}{_BESIDE}")


def zero_shot_config(config: Config) -> Config:
    """Return the configuration of a run's baseline: the answer head with its mass, in the folder beside the run."""
    changes = {"head": "answer", "answer_mass": True, "output_dir": zero_shot_folder(config.output_dir)}
    return config.model_copy(update=changes)

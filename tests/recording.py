"""Files that a test puts into a run, or takes out of it, by hand, and that the run is to know of."""

from pathlib import Path

from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.verification.acceptance import accept


def recorded(folder: Path | RunFolder) -> None:
    """Record a run as it is."""
    accept(RunFolder(Path(folder)))

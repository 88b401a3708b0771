"""Is there room for what training will write: places that nobody else has taken, and space on the disk."""

import shutil
from collections.abc import Sequence

from ensemble_uq_llm.errors import StorageError
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.storage.change import check_is_ours
from ensemble_uq_llm.storage.manifest import Manifest, read_manifest
from ensemble_uq_llm.training.state import TrainingState

_CHECKPOINTS: int = 3
"""Two that are kept, and the one that is being written."""


def check_places(folder: RunFolder, seeds: Sequence[int]) -> None:
    """Refuse to train where something at the places of the members, or of the run's files, is not ours.

    Raises:
        StorageError: the message names it: a file, a link, or something special. Nothing is touched.
    """
    known = (read_manifest(folder.root) or Manifest()).files
    wanted = [folder.config, folder.run_record]
    for seed in seeds:
        own = folder.member(MemberId(seed))
        wanted.append(folder.member_record(MemberId(seed)))
        wanted += own.iterdir() if own.is_dir() and not own.is_symlink() else []
    check_is_ours(folder.root, [path.relative_to(folder.root).as_posix() for path in wanted])
    for path in (folder.events, folder.checkpoints, folder.manifest, folder.tensorboard):
        if path.is_symlink() or (path.exists() and path.is_dir() != (path in (folder.checkpoints, folder.tensorboard))):
            raise StorageError(f"{path}: not what this run writes there; move it, or use another output_dir")
    if folder.events.exists() and not known and not folder.run_record.exists():
        raise StorageError(f"{folder.events}: a file that this run did not write; move it, or use another output_dir")


def check_space(folder: RunFolder, state: TrainingState) -> None:
    """Refuse to train where the members and their checkpoints will not fit the disk.

    Raises:
        StorageError: the message says how much is needed, and how much is free.
    """
    member = sum(4 * stack.numel() for stack in state.ensemble.trainable())
    kept = member * (3 + (state.best is not None))  # weights, AdamW's two moments, and the best epochs' weights
    needed = member + _CHECKPOINTS * kept
    free = shutil.disk_usage(folder.root).free
    if free < needed:
        raise StorageError(
            f"output_dir: {folder.root} needs {needed / 1e6:,.1f} MB for the members and their checkpoints, and "
            f" {free / 1e6:,.1f} MB are free; make room, or name another folder"
        )

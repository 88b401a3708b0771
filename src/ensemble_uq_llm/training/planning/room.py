"""Is there room for what training will write: places that nobody else has taken, and space on the disk."""

import shutil
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ensemble_uq_llm.errors import StorageError
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.predictions.zero_shot_config import is_zero_shot
from ensemble_uq_llm.run_folder import HELD_OUT, VALIDATION, RunFolder
from ensemble_uq_llm.samples.posterior_record import title_of
from ensemble_uq_llm.storage.change import STAGING
from ensemble_uq_llm.storage.failures import naming_failures
from ensemble_uq_llm.storage.places import check_is_file_or_nothing, check_is_folder_or_nothing, check_is_ours

if TYPE_CHECKING:
    from ensemble_uq_llm.training.state import TrainingState

_CHECKPOINTS: Final = 3
"""Two that are kept, and the one that is being written."""


def check_holds_no_samples(folder: RunFolder) -> None:
    """Refuse to train where samples of a maker are.

    Raises:
        StorageError: they are. IntegrityError: the run's record was altered.
    """
    if title := title_of(folder):
        raise StorageError(f"{folder.root}: holds {title}, beside which nothing is trained; use another output_dir")


def check_places(folder: RunFolder, seeds: Sequence[int]) -> None:
    """Refuse to train where something at the places of these members, or of any of the run's files, is not ours.

    Raises:
        StorageError: the message names it: a file, a link, or something special, or the folder is that of a zero-shot
            baseline. Nothing is touched. IntegrityError: the run's record was altered.
    """
    if is_zero_shot(folder):
        raise StorageError(
            f"{folder.root}: holds a zero-shot baseline, beside which nothing is trained; use another output_dir"
        )
    with naming_failures(folder.root, "read"):
        members = [folder.member(MemberId(seed)) for seed in seeds]
        sets = (VALIDATION, *HELD_OUT)
        tables = [of(name) for name in sets for of in (folder.predictions, folder.examples, folder.uncertainty)]
        tables += [of(name) for name in sets for of in (folder.scores, folder.metrics)]
        _check_kinds(folder, {*members, *(path.parent for path in tables)})
        wanted = [folder.config, folder.run_record, folder.decision, folder.report, *tables]
        wanted += [path for member in members for path in _inside(member)]
        check_is_ours(folder.root, [path.relative_to(folder.root).as_posix() for path in wanted])
        if folder.events.exists() and not folder.manifest.exists():
            raise StorageError(
                f"{folder.events}: a file that this run did not write; move it, or use another output_dir"
            )


def _check_kinds(folder: RunFolder, folders: set[Path]) -> None:
    """Refuse links and the like, through which something outside would be read or written."""
    folders |= {folder.checkpoints, folder.tensorboard, folder.root / "wandb", folder.root / STAGING}
    for path in sorted(folders):
        check_is_folder_or_nothing(path)
    for path in _inside(folder.checkpoints):
        check_is_folder_or_nothing(path)
    for path in (folder.events, folder.manifest):
        check_is_file_or_nothing(path)


def _inside(path: Path) -> list[Path]:
    return sorted(path.iterdir()) if path.is_dir() else []


def check_space(folder: RunFolder, state: "TrainingState", *, seeds: Collection[int]) -> None:
    """Refuse to train where the members of these seeds and their checkpoints will not fit the disk.

    All that are missing count, as those that other devices train fill the same disk; what is kept of them is there.

    Raises:
        StorageError: the message says how much is needed, and how much is free.
    """
    with naming_failures(folder.root, "used"):
        missing = set(seeds) - {member.seed for member in folder.members()}
        member = sum(4 * stack[0].numel() for stack in state.ensemble.trainable())
        kept = member * (3 + (state.best is not None))  # weights, AdamW's two moments, and the best epochs' weights
        needed = len(missing) * (member + _CHECKPOINTS * kept) - _size_of(folder.checkpoints)
        disk = shutil.disk_usage(folder.root)
    if disk.total and disk.free < needed:  # some file systems tell no size
        raise StorageError(
            f"output_dir: {folder.root} needs {_in_words(needed)} for the members and their checkpoints, and "
            f"{_in_words(disk.free)} are free; make room, or name another folder"
        )


def _size_of(folder: Path) -> int:
    """Return the bytes of the files below a folder; beside others who write there, of those that are there yet."""
    sizes = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            sizes += path.lstat().st_size
    return sizes


def _in_words(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:,.1f} kB"

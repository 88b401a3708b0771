"""Where everything of a run lies: the only module that knows the file names of a run folder."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ensemble_uq_llm.errors import ConfigError, IntegrityError
from ensemble_uq_llm.member import MemberId, member_of_folder
from ensemble_uq_llm.storage.change import Change, change_of, settle
from ensemble_uq_llm.storage.guard import check_recorded, check_sources, read_guarded, read_verified
from ensemble_uq_llm.storage.lock import owned
from ensemble_uq_llm.storage.manifest import MANIFEST, Manifest, accepting, read_manifest
from ensemble_uq_llm.utils.files import read_object, sha256_of

VALIDATION = "validation"
"""The name of the config's own evaluation split."""

CALIBRATION = "calibration"
"""The name of the split held out of the training data."""

OUT_OF_BAG = "out_of_bag"
"""The name of the training rows as they are predicted by the members that left them out."""

HELD_OUT = (CALIBRATION, OUT_OF_BAG)
"""The sets that are predicted to be fitted on, and never evaluated."""

MEMBER_RECORD = "member.json"
"""The name of a member's record in its adapter folder."""

MEMBER_WEIGHTS = "adapter_model.safetensors"
"""The name that PEFT gives the weights in an adapter folder."""

ANSWER_TOKENS = "answer_token_ids"
"""The key of `run.json` under which the answer head's tokens stand, in the order of the classes."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class RunFolder:
    """The paths of one run (the config's `output_dir`), and how they are read and changed."""

    root: Path

    def __fspath__(self) -> str:
        """Whatever takes the path of a run folder takes this, too."""
        return str(self.root)

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.root / "config.yaml"

    @property
    def run_record(self) -> Path:
        """Versions, git commit, digests and timings."""
        return self.root / "run.json"

    @property
    def events(self) -> Path:
        """One JSON line per optimiser step and epoch."""
        return self.root / "events.jsonl"

    @property
    def manifest(self) -> Path:
        """The SHA-256 of every file that is read back."""
        return self.root / MANIFEST

    @property
    def checkpoints(self) -> Path:
        """What continues an interrupted training or prediction; gone when that is done."""
        return self.root / "checkpoints"

    def group_checkpoints(self, first_seed: int) -> Path:
        """What continues the interrupted training of the group of members whose first seed this is."""
        return self.checkpoints / f"from_seed_{first_seed}"

    def kept_shards(self, name: str, kind: str = "predictions") -> Path:
        """What continues the interrupted prediction of the set `name`; of `answers` the answering of its questions."""
        return self._named(f"checkpoints/{kind}", name, "")

    def kept_steps(self) -> dict[str, int]:
        """Return the newest step that is kept of each group's interrupted training, by the names of their folders."""
        steps = ((path.parent.name, path.name[5:13]) for path in sorted(self.checkpoints.glob("from_seed_*/step_*")))
        return {group: int(step) for group, step in steps if step.isdecimal()}

    @property
    def tensorboard(self) -> Path:
        """What `log_to: tensorboard` writes."""
        return self.root / "tensorboard"

    @property
    def decision(self) -> Path:
        """What was fitted on the calibration split: temperatures, conformal rules, and the score to abstain by."""
        return self.root / "decision.json"

    @property
    def report(self) -> Path:
        """The self-contained HTML report."""
        return self.root / "report.html"

    def member(self, member: MemberId) -> Path:
        """The PEFT adapter folder of a member."""
        return self.root / member.folder_name

    def member_weights(self, member: MemberId) -> Path:
        """The weights of a member's adapter."""
        return self.member(member) / MEMBER_WEIGHTS

    def adapter_settings(self, member: MemberId) -> Path:
        """PEFT's settings of a member's adapter."""
        return self.member(member) / "adapter_config.json"

    def member_record(self, member: MemberId) -> Path:
        """How the member was made, and the digest of its weights; lies inside its adapter folder."""
        return self.member(member) / MEMBER_RECORD

    def predictions(self, name: str) -> Path:
        """The tidy Parquet of every member's logits on the set `name`."""
        return self._named("predictions", name, ".parquet")

    def examples(self, name: str) -> Path:
        """The texts of the set `name`, for the report: one JSON object a line."""
        return self._named("predictions", name, ".examples.jsonl")

    def uncertainty(self, name: str) -> Path:
        """One CSV row per example of the set `name`."""
        return self._named("uncertainty", name, ".csv")

    def scores(self, name: str) -> Path:
        """One CSV row per example of the set `name`: every score of its uncertainty."""
        return self._named("scores", name, ".csv")

    def metrics(self, name: str) -> Path:
        """The metrics JSON of the set `name`."""
        return self._named("metrics", name, ".json")

    def answers(self, name: str, ending: str = ".csv") -> Path:
        """One CSV row a question of the set `name`; with `.json` how its answers came about, and how many there are."""
        return self._named("answers", name, ending)

    def evaluated(self) -> list[Path]:
        """The metrics JSONs of the sets that have been evaluated, by name; also of those that are gone."""
        return [self.metrics(name) for name in self._names("metrics", ".json")]

    def is_run(self) -> bool:
        """Tell whether members were trained or sets predicted here: what is evaluated or decided here is of these."""
        return self.config.exists() or bool(self.prediction_names())

    def prediction_names(self) -> list[str]:
        """The names of all predicted sets, the config's own first, the others in alphabetical order.

        Sets whose files were recorded and are gone are among them: whoever reads them says so.
        """
        return sorted(self._names("predictions", ".parquet"), key=lambda name: name != VALIDATION)

    def members(self) -> list[MemberId]:
        """The members that have a finished adapter folder, by seed and sample."""
        found = (member_of_folder(path.name) for path in self.root.glob("seed_*"))
        return sorted(member for member in found if member is not None and self.member_record(member).exists())

    def members_of(self, seeds: Iterable[int]) -> list[MemberId]:
        """The finished members of these seeds, in their order, with every sample that there is of each."""
        finished = self.members()
        return [member for seed in seeds for member in finished if member.seed == seed]

    def check_members(self, seeds: Iterable[int]) -> None:
        """Raise IntegrityError where a finished member of one of these seeds is gone."""
        known = (read_manifest(self.root) or Manifest()).current
        for member in sorted(filter(None, map(member_of_folder, {path.partition("/")[0] for path in known}))):
            record = self.member_record(member)
            if member.seed in seeds and record.relative_to(self.root).as_posix() in known and not record.exists():
                raise IntegrityError(
                    f"{record}: removed after it was written; restore the member, train again to get it back, or go on "
                    f"without it: {accepting(self.root)}"
                )

    @contextmanager
    def owned(self, doing: str) -> Iterator[None]:
        """Be the only process that writes here; what a crash has left half done is completed or removed first.

        Raises:
            OwnedError: another process writes here. StorageError: nobody can. IntegrityError: a crash has left what
                cannot be completed.
        """
        with owned(self.root, doing) as is_new:
            if is_new:
                settle(self.root)
            yield

    @contextmanager
    def change(self) -> Iterator[Change]:
        """Yield a change of the run that happens as a whole: write into `RunFolder(change.root)`, at the same names.

        Raises:
            StorageError: the disk refuses, or somebody else's file is in the way.
        """
        self.check_manifest()
        with change_of(self.root) as change:
            yield change

    def check_manifest(self) -> None:
        """Raise IntegrityError where the manifest of a run is torn, or gone."""
        if not self.manifest.exists() and self.holds_run():
            raise IntegrityError(
                f"{self.manifest}: there is no such file: it was removed, or the run was made by an earlier version; "
                f"restore it, or, if the folder is as you want it, record it: {accepting(self.root)}"
            )
        read_manifest(self.root)

    def check_knows(self, paths: Iterable[Path]) -> None:
        """Raise IntegrityError where one of these files was put there by somebody else, or was there and is gone."""
        self.check_manifest()
        check_recorded(self.root, paths)

    def has(self, path: Path) -> bool:
        """Tell whether one of the run's files is there; what others have put at its place does not count.

        Raises:
            IntegrityError: it was there and is gone. Where a run has no manifest: as `check_manifest`.
        """
        if path.exists() and self.manifest.exists():
            return bool((read_manifest(self.root) or Manifest()).accepted(path.relative_to(self.root).as_posix()))
        self.check_knows([path])
        return path.exists()

    def check_up_to_date(self, paths: Iterable[Path], *, remedy: str) -> None:
        """Raise IntegrityError where one of these files was made from others than those there are by now.

        What they were made from is read, too: a file may have been put back with the manifest of its time.
        """
        manifest = read_manifest(self.root) or Manifest()
        for path in paths:
            if reasons := manifest.outdated(path.relative_to(self.root).as_posix()):
                raise IntegrityError(f"{path}: {reasons[0]}; {remedy}")
            check_sources(self.root, path)

    def holds_run(self) -> bool:
        """Tell whether this is the folder of a run, and not one of predictions that anybody has put there."""
        return self.run_record.exists() or bool(self.members())

    def read(self, path: Path) -> bytes:
        """Return the bytes of one of the run's files, which are those that were written.

        In a folder of predictions that is no run, and that nothing of ours was written to, they are taken as they are.

        Raises:
            IntegrityError: the file was altered, or is not of this run; the message says what to do.
            StorageError: it cannot be read. FileNotFoundError: it is not there.
        """
        self.check_manifest()
        if self.manifest.exists():
            return read_verified(self.root, path)
        return read_guarded(path)

    def read_object(self, path: Path, *, remedy: str) -> dict[str, Any]:
        """Return the JSON object that one of the run's files holds.

        Raises:
            IntegrityError: it is missing or altered, or holds something else; the message ends with `remedy`.
        """
        return read_object(path, remedy=remedy, read=self.read)

    def record(self) -> dict[str, Any]:
        """Return the content of `run.json`; one without stages where there is none.

        Raises:
            IntegrityError: it was altered, or is not a run's record.
        """
        if not self.has(self.run_record):
            return {"stages": []}
        record = self.read_object(self.run_record, remedy="restore it")
        if not isinstance(record.get("stages"), list):
            raise IntegrityError(f"{self.run_record}: not a run's record (it has no list of stages); restore it")
        return record

    def digests(self, paths: Iterable[Path]) -> dict[str, str]:
        """Return digests of the run's files by their paths in it: those in the manifest, or computed of others."""
        files = (read_manifest(self.root) or Manifest()).files
        names = {path.relative_to(self.root).as_posix(): path for path in paths}
        return {name: files[name].sha256 if name in files else sha256_of(path) for name, path in names.items()}

    def _names(self, kind: str, ending: str) -> list[str]:
        """Return the names of the files of one kind that are there, or are known to have been."""
        known = [self.root / path for path in (read_manifest(self.root) or Manifest()).current]
        there = [*(self.root / kind).glob(f"*{ending}"), *(path for path in known if path.parent == self.root / kind)]
        stems = {path.name.removesuffix(ending) for path in there if path.name.endswith(ending)}
        return sorted(stem for stem in stems if _NAME.fullmatch(stem))

    def _named(self, kind: str, name: str, ending: str) -> Path:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigError(
                f"{name!r} cannot name a set: use up to 64 letters, digits, '_', '-' and '.', beginning with a "
                "letter or a digit"
            )
        return self.root / kind / f"{name}{ending}"

"""Where everything of a run lies: the only module that knows the file names of a run folder."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.member import MemberId, member_of_folder

VALIDATION = "validation"
"""The name of the config's own evaluation split."""

CALIBRATION = "calibration"
"""The name of the split held out of the training data."""

MEMBER_RECORD = "member.json"
"""The name of a member's record in its adapter folder."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class RunFolder:
    """The paths of one run (the config's `output_dir`); it creates nothing by itself."""

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

    def evaluated(self) -> list[Path]:
        """The metrics JSONs of the sets that have been evaluated, in alphabetical order."""
        return sorted(path for path in (self.root / "metrics").glob("*.json") if _NAME.fullmatch(path.stem))

    def check_is_no_run(self, what: str) -> None:
        """Raise ConfigError where members were trained or sets predicted here: the evaluation here is of these."""
        if self.config.exists() or self.prediction_names():
            raise ConfigError(
                f"{what} {self.root}: this is the folder of a run, which holds the evaluation of its own sets; name "
                "another folder, or evaluate the run with this file as --shift NAME=FILE"
            )

    def prediction_names(self) -> list[str]:
        """The names of all predicted sets, the config's own first, the others in alphabetical order."""
        stems = (path.stem for path in (self.root / "predictions").glob("*.parquet"))
        names = sorted(stem for stem in stems if _NAME.fullmatch(stem))
        return sorted(names, key=lambda name: name != VALIDATION)

    def members(self) -> list[MemberId]:
        """The members that have a finished adapter folder, by seed and sample."""
        found = (member_of_folder(path.name) for path in self.root.glob("seed_*"))
        return sorted(member for member in found if member is not None and self.member_record(member).exists())

    def members_of(self, seeds: Iterable[int]) -> list[MemberId]:
        """The finished members of these seeds, in their order, with every sample that there is of each."""
        finished = self.members()
        return [member for seed in seeds for member in finished if member.seed == seed]

    def _named(self, kind: str, name: str, ending: str) -> Path:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigError(
                f"{name!r} cannot name a set: use up to 64 letters, digits, '_', '-' and '.', beginning with a "
                "letter or a digit"
            )
        return self.root / kind / f"{name}{ending}"

"""What became of each member: its losses while it trains, its folder and record once it is done, or its failure."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import torch

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.bags.bag_design import design_of
from ensemble_uq_llm.data.bags.drawn_bags import Bags
from ensemble_uq_llm.data.bags.recorded_bags import BOOTSTRAP, LEFT_OUT
from ensemble_uq_llm.errors import ConfigError, EnsembleUQError, IntegrityError, MembersFailedError
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.lora.peft_folder import WEIGHTS, write_adapter
from ensemble_uq_llm.run_folder import MEMBER_RECORD, RunFolder
from ensemble_uq_llm.storage import stop
from ensemble_uq_llm.training.from_config import base_name, lora_settings
from ensemble_uq_llm.utils.files import sha256_of, write_json
from ensemble_uq_llm.utils.text import enumerated, first_line

SETTINGS: Final = (
    "num_labels", "head", "answers", "max_length", "prompt_template", "cut_column", "chat_template", "append_eos",
    "calibration_fraction", "calibration_seed", "stopping_fraction", "keep", "early_stopping_patience",
    "class_weights", "bootstrap",
    "batch_size", "gradient_accumulation_steps",
    "learning_rate", "num_epochs", "warmup_steps", "weight_decay", "prior_precision", "max_grad_norm", "lora_r",
    "lora_alpha", "lora_dropout", "lora_target_modules", "lora_layers", "use_bf16",
)  # fmt: skip
"""The keys that make a member what it is; members of one ensemble agree in all of them."""


LOSS_NOT_FINITE: Final = "its loss is not finite"
GRADIENT_NOT_FINITE: Final = "its gradient is not finite"


@dataclass(slots=True, kw_only=True)
class MemberOutcome:
    """The running record of one member.

    `diverged_at` is the step at which it diverged, and `diverged_why` says how that was noticed; `first_loss` and
    `window_loss` are what the rule of divergence remembers.
    """

    seed: int
    loss: float = math.nan
    steps: int = 0
    diverged_at: int | None = None
    diverged_why: str = ""
    first_loss: float = math.nan
    window_loss: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    """Validation loss and accuracy after each epoch."""
    stopping_losses: list[float] = field(default_factory=list)
    """With `keep: best`, the loss on the stopping split after each epoch."""
    kept_epoch: int | None = None
    """The epoch (from 1) whose weights are kept; None is the last."""
    stopped_after: int | None = None
    """The epoch after which it was not trained any further; None if it was to the end."""

    def note_loss(self, step: int, loss: float) -> None:
        """Note the loss of a step (from 1)."""
        self.loss, self.steps = loss, step
        if math.isnan(self.first_loss):
            self.first_loss = loss
        if not math.isfinite(loss):
            self.diverge(LOSS_NOT_FINITE)

    def diverge(self, why: str) -> None:
        """Note that the member has diverged in its last step, if it had not before."""
        if self.diverged_at is None:
            self.diverged_at, self.diverged_why = self.steps, why

    @property
    def is_training(self) -> bool:
        """Whether it takes part in the next step: it has neither stopped nor diverged."""
        return self.diverged_at is None and self.stopped_after is None

    @property
    def divergence(self) -> str:
        """Where and why it diverged: `at step 12: its loss is not finite`."""
        return f"at step {self.diverged_at}" + (f": {self.diverged_why}" if self.diverged_why else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class LostMembers:
    """Members whose process ended before they were trained: their device, and why."""

    seeds: tuple[int, ...]
    device: str
    error: EnsembleUQError

    @property
    def title(self) -> str:
        """How a message names them: `cuda:1, seeds 2 and 4`."""
        return f"{self.device}, seed{'s' if len(self.seeds) > 1 else ''} {enumerated([*map(str, self.seeds)])}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Digests:
    """The SHA-256 of what members are made from: the training examples, and the base's files."""

    data: str
    base: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRecord:
    """`member.json` beside each adapter: who it is, settings, digests, and how training ended."""

    seed: int
    settings: dict[str, Any]
    data_digest: str
    base_digest: str
    weights_sha256: str
    steps: int
    final_train_loss: float
    history: list[dict[str, float]] = field(default_factory=list)
    """Validation loss and accuracy after each epoch."""
    stopping_losses: list[float] = field(default_factory=list)
    """With `keep: best`, the loss on the stopping split after each epoch."""
    kept_epoch: int | None = None
    """With `keep: best`, the epoch (from 1) whose weights these are."""
    sample: int = 0
    """Which sample of the seed; training makes 0, and makers of samples write theirs."""
    left_out_sha256: str | None = None
    """With `bootstrap`, the digest of which training rows it was not trained on (`Bags.digest_of`)."""

    def as_json(self) -> dict[str, Any]:
        """Return the record as plain values; a sample of 0, and what only some keys' values have, are not written."""
        left_out = {"sample": not self.sample, "stopping_losses": self.kept_epoch is None}
        left_out |= {"kept_epoch": self.kept_epoch is None, LEFT_OUT: self.left_out_sha256 is None}
        return {key: value for key, value in asdict(self).items() if not left_out.get(key)}


def member_settings(config: Config) -> dict[str, Any]:
    """Return the settings that make a member, as plain values."""
    answers = config.answer_texts  # as they are, whether written or made of the class names
    design = design_of(config)  # a share of the members is so many of these very members
    bootstrap = None if design is None else design.as_json()
    own = {"answers": answers and list(answers), BOOTSTRAP: bootstrap}
    return config.model_dump(mode="json", include=set(SETTINGS)) | own


def save_members(
    ensemble: StackedEnsemble,
    outcomes: Sequence[MemberOutcome],
    folder: RunFolder,
    *,
    config: Config,
    digests: Digests,
    bags: Bags | None = None,
) -> None:
    """Write every member that did not diverge and is not there yet as a PEFT adapter folder, whole or not at all.

    A member whose weights are not finite has diverged in its last step, and is noted as such.

    Raises:
        StorageError: the disk refuses; the members before are written. StopRequested: likewise.
    """
    base, finished = base_name(config), folder.members()
    for member, outcome in enumerate(outcomes):
        if outcome.diverged_at is None and not _is_finite(ensemble, member):
            outcome.diverge("its weights are not finite")
        name = MemberId(outcome.seed)
        if outcome.diverged_at is not None or name in finished:
            continue
        with stop.held_back(), folder.change() as change:
            temporary = RunFolder(change.root).member(name)
            temporary.mkdir()
            write_adapter(ensemble, member, temporary, settings=lora_settings(config), base=base)
            change.binds(folder.member(name) / WEIGHTS, {"base": digests.base, "data": digests.data})
            record = MemberRecord(
                seed=outcome.seed,
                settings=member_settings(config),
                data_digest=digests.data,
                base_digest=digests.base,
                weights_sha256=sha256_of(temporary / WEIGHTS),
                steps=outcome.steps,
                final_train_loss=outcome.loss,
                history=outcome.history,
                stopping_losses=outcome.stopping_losses,
                kept_epoch=outcome.kept_epoch,
                left_out_sha256=None if bags is None else bags.digest_of(outcome.seed),
            )
            write_json(temporary / MEMBER_RECORD, record.as_json())


def read_member_record(folder: RunFolder, member: MemberId) -> MemberRecord:
    """Read the record of a finished member.

    Raises:
        IntegrityError: the record is absent or not one of ours.
    """
    path = folder.member_record(member)
    try:
        return MemberRecord(**folder.read_object(path, remedy=f"delete {path.parent} to train it anew"))
    except TypeError as error:
        raise IntegrityError(
            f"{path}: not a member's record ({error}); delete {path.parent} to train it anew"
        ) from None


def check_same_making(
    folder: RunFolder, members: Sequence[MemberId], config: Config, *, digests: Digests | None
) -> None:
    """Refuse to mix members that were made differently in one run folder; without digests only the settings count.

    Raises:
        ConfigError: a finished member has other settings, data or base; the message lists the differences.
    """
    wanted = member_settings(config)
    for member in members:
        record = read_member_record(folder, member)
        # A key that an earlier version did not have did what its default does.
        settings = {key: record.settings.get(key, Config.model_fields[key].default) for key in SETTINGS}
        differences = [
            f"{key}: {settings[key]!r} there, {wanted[key]!r} now" for key in SETTINGS if settings[key] != wanted[key]
        ]
        if digests is not None:
            differences += ["the training data differ"] if record.data_digest != digests.data else []
            differences += ["the base model's files differ"] if record.base_digest != digests.base else []
        if differences:
            if _other_company(settings[BOOTSTRAP], wanted[BOOTSTRAP]):
                differences.append("with bootstrap a member's rows depend on all seeds: none is added or taken away")
            raise ConfigError(
                f"output_dir: {folder.root} holds the member of {member.title}, made differently:\n  "
                + "\n  ".join(differences)
                + "\nUse another output_dir, or delete that folder to train anew"
            )


def _other_company(there: dict[str, Any] | None, now: dict[str, Any] | None) -> bool:
    return bool(there and now and there["seeds"] != now["seeds"])


def failures(outcomes: Sequence[MemberOutcome], lost: Sequence[LostMembers]) -> dict[str, str]:
    """Return why each member failed, by the name that its folder would have."""
    diverged = {
        MemberId(each.seed).folder_name: f"diverged {each.divergence}"
        for each in outcomes
        if each.diverged_at is not None
    }
    return diverged | {
        MemberId(seed).folder_name: f"lost on {each.device}: {first_line(each.error)}"
        for each in lost
        for seed in each.seeds
    }


def raise_if_any_failed(outcomes: Sequence[MemberOutcome], lost: Sequence[LostMembers], config: Config) -> None:
    """Say which members diverged or were lost, that the others are kept, and what to do.

    Raises:
        MembersFailedError: some diverged, or were lost for reasons that are not one kind of the user's errors.
        ConfigError, DataError ...: what all lost members were lost for.
    """
    diverged = [outcome for outcome in outcomes if outcome.diverged_at is not None]
    lost_count = sum(len(each.seeds) for each in lost)
    members = len(outcomes) + lost_count
    saved = members - len(diverged) - lost_count
    others = "the other is" if saved == 1 else f"the other {saved} are"
    kept = f"{others} saved in {config.output_dir}" if saved else "none is saved"
    problems = []
    if lost:
        reasons = "\n  ".join(f"{each.title}: {each.error}" for each in lost)
        problems.append(
            f"{lost_count} of {members} members were not trained; {kept}:\n  {reasons}\n"
            "The same command trains those that are missing"
        )
    if diverged:
        listing = "; ".join(f"seed {each.seed} {each.divergence}" for each in diverged)
        advice = _advice(diverged, config)
        problems.append(f"{len(diverged)} of {members} members diverged ({listing}); {kept}. {advice}")
    kinds = {type(each.error) for each in lost}
    if problems:
        raise (kinds.pop() if len(kinds) == 1 and not diverged else MembersFailedError)("\n".join(problems))


def _advice(diverged: Sequence[MemberOutcome], config: Config) -> str:
    """Say what may help; before the first update no setting of the optimiser has had a say."""
    if all(each.diverged_at == 1 and each.diverged_why in (LOSS_NOT_FINITE, GRADIENT_NOT_FINITE) for each in diverged):
        return "The base itself gives numbers that are not finite: set use_bf16: false, or take another model_name"
    clipping = f"or max_grad_norm (now {config.max_grad_norm:g})" if config.max_grad_norm else "or set max_grad_norm: 1"
    return f"Lower learning_rate (now {config.learning_rate:g}) {clipping}, in a new output_dir"


def _is_finite(ensemble: StackedEnsemble, member: int) -> bool:
    return all(bool(torch.isfinite(stack[member]).all()) for stack in ensemble.trainable())

"""`member.json` beside each adapter: how the member was made, so that later runs know whether it is theirs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.errors import ConfigError, IntegrityError
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.utils.files import read_json

SETTINGS: Final = (
    "num_labels", "max_length", "prompt_template", "cut_column",
    "calibration_fraction", "calibration_seed", "batch_size", "gradient_accumulation_steps",
    "learning_rate", "num_epochs", "warmup_steps", "weight_decay", "max_grad_norm", "lora_r", "lora_alpha",
    "lora_dropout", "lora_target_modules", "lora_layers", "use_bf16",
)  # fmt: skip
"""The keys that make a member what it is; members of one ensemble agree in all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Digests:
    """The SHA-256 of what members are made from: the training examples, and the base's files."""

    data: str
    base: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRecord:
    """Seed, settings, digests, and how training ended."""

    seed: int
    settings: dict[str, Any]
    data_digest: str
    base_digest: str
    weights_sha256: str
    steps: int
    final_train_loss: float
    history: list[dict[str, float]] = field(default_factory=list)
    """Validation loss and accuracy after each epoch."""

    def as_json(self) -> dict[str, Any]:
        """Return the record as plain values."""
        return asdict(self)


def member_settings(config: Config) -> dict[str, Any]:
    """Return the settings that make a member, as plain values."""
    return config.model_dump(mode="json", include=set(SETTINGS))


def read_member_record(folder: RunFolder, member: MemberId) -> MemberRecord:
    """Read the record of a finished member.

    Raises:
        IntegrityError: the record is absent or not one of ours.
    """
    path = folder.member_record(member)
    try:
        return MemberRecord(**read_json(path))
    except (OSError, ValueError, TypeError) as error:
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
        differences = [
            f"{key}: {record.settings.get(key)!r} there, {wanted[key]!r} now"
            for key in SETTINGS
            if record.settings.get(key) != wanted[key]
        ]
        if digests is not None:
            differences += ["the training data differ"] if record.data_digest != digests.data else []
            differences += ["the base model's files differ"] if record.base_digest != digests.base else []
        if differences:
            raise ConfigError(
                f"output_dir: {folder.root} holds the member of {member.title}, made differently:\n  "
                + "\n  ".join(differences)
                + "\nUse another output_dir, or delete that folder to train anew"
            )

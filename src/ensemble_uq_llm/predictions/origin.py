"""Where predictions come from: digests of the members that made them, of their base and of the data.

Numbers of different members are never compared: this is what tells them apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.utils.text import enumerated, first_line

_KEY: Final = b"ensemble_uq_origin"
"""The key of the JSON text in the Parquet file's metadata."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What made some predictions, as the Parquet file's metadata keeps it."""

    weights: Mapping[str, str]
    """The SHA-256 of every member's adapter weights, by the name of its folder, such as `seed_42`."""
    base: str
    """The digest of the base's files."""
    data: str
    """The digest of the examples: their ids, texts and labels."""
    foreign: bool = False
    """Whether the members are not the run's own: adapter folders that were given, or the base by itself."""
    source: str | None = None
    """What was predicted: the name of a set, or the absolute path of a data file."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The configuration's keys that turn an example into numbers."""
    scales: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What every member's weights are multiplied by, by the name of its folder: `scale_of` its adapter's settings."""


_FORM: Final = TypeAdapter(Origin)

_SCALE: Final = {"r": 8, "lora_alpha": 8, "use_rslora": False, "rank_pattern": {}, "alpha_pattern": {}}
"""The keys of `adapter_config.json` by which the same weights give other numbers, and PEFT's defaults."""


def scale_of(adapter_settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an adapter's settings multiply its weights by: one and the same file of weights has many meanings."""
    return {key: adapter_settings.get(key) or default for key, default in _SCALE.items()}


def origin_metadata(origin: Origin | None) -> dict[bytes, bytes] | None:
    """Return the metadata of a Parquet file of that origin; None where it is unknown."""
    return None if origin is None else {_KEY: _FORM.dump_json(origin)}


def origin_of_metadata(metadata: Mapping[bytes, bytes] | None) -> Origin | None:
    """Return the origin that a Parquet file's metadata tell; None where they tell none, as those of foreign files.

    Raises:
        DataError: there is one, and it cannot be read.
    """
    text = (metadata or {}).get(_KEY)
    if text is None:
        return None
    try:
        return _FORM.validate_json(text)
    except ValidationError as error:
        raise DataError(
            f"the file's metadata do not tell what made it ({first_line(error)}); predict the set again"
        ) from None


def differences(
    members: Sequence[MemberId],
    origin: Origin | None,
    *,
    wanted: Sequence[MemberId],
    allowed: Sequence[MemberId],
    weights: Mapping[str, str],
    scales: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[str]:
    """Return in words how the members of some predictions differ from those that are wanted, in whatever order.

    Args:
        members: who predicted.
        origin: what is known of them.
        wanted: who must be among them.
        allowed: who may be among them beside.
        weights: the digests that are wanted, by the names of folders; of a member for which one side has none, the
            name alone counts.
        scales: what the weights are multiplied by, likewise.
    """
    found = []
    if missing := [member for member in wanted if member not in members]:
        found.append(f"without {titles(missing)}")
    if beyond := [member for member in members if member not in wanted and member not in allowed]:
        found.append(f"with {titles(beyond)}")
    here = {} if origin is None else origin.weights
    names = [(member, member.folder_name) for member in members]
    if other := [m for m, name in names if name in here and name in weights and here[name] != weights[name]]:
        found.append(f"with other weights of {titles(other)}")
    own, theirs = {} if origin is None else origin.scales, scales or {}
    if other := [m for m, name in names if name in own and name in theirs and own[name] != theirs[name]]:
        found.append(f"with another scale (lora_alpha and the like in adapter_config.json) of {titles(other)}")
    return found


def titles(members: Sequence[MemberId]) -> str:
    """Name members in a message: `seed 42, seed 43 and seed 44`."""
    return enumerated([member.title for member in members])

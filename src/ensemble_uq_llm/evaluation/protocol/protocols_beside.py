"""In what two protocols differ: the numbers of two runs are comparable, or visibly not."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from typing import Any, Final

from ensemble_uq_llm.evaluation.protocol.protocol_in_words import DIGEST, protocol_line
from ensemble_uq_llm.evaluation.records import Protocol, ProtocolsBeside
from ensemble_uq_llm.utils.text import cut, enumerated

_CLIP: Final = 60
_UNKNOWN: Final = (None, ())
_OF_ANSWER_HEADS: Final = ("answers", "answer_token_ids")
_OF_ADAPTERS: Final = (
    *("modules", "layers", "lora_r", "lora_alpha", "trained_on", "trained_on_digest", "train_rows", "train_rows_cut"),
    *("steps", "batch", "epochs", "keep", "kept_epochs", "learning_rate"),
    *("warmup_steps", "weight_decay", "max_grad_norm", "lora_dropout", "class_weights", "maker"),
)

_IN_WORDS: Final = {
    "base": "the base's name",
    "base_revision": "the base's revision",
    "base_digest": "the base's files",
    "dtype": "the number format",
    "max_length": "the longest prompt",
    "answer_token_ids": "the answers' tokens",
    "read_at": "where the answer is read",
    "maker": "what made the weights",
    "modules": "the adapted layers' kinds",
    "layers": "the adapted layers",
    "lora_r": "the rank",
    "lora_alpha": "alpha",
    "trained_on": "the training data's name",
    "trained_on_digest": "the training data",
    "train_rows": "training rows",
    "train_rows_cut": "training rows that were cut",
    "steps": "optimiser steps",
    "batch": "rows a step",
    "keep": "which epoch is kept",
    "kept_epochs": "the epochs that were kept",
    "learning_rate": "the learning rate",
    "warmup_steps": "warm-up steps",
    "weight_decay": "the weight decay",
    "max_grad_norm": "the clipping of gradients",
    "lora_dropout": "the dropout",
    "class_weights": "the classes' weights in the loss",
    "evaluated_on": "the evaluated data's name",
    "evaluated_on_digest": "the evaluated data",
    "evaluated_rows": "evaluated rows",
    "evaluated_rows_cut": "evaluated rows that were cut",
    "calibration_rows": "calibration rows",
    "members": "the number of members",
    "ece_bins": "the bins of the ECE",
}
"""How a field is called in a sentence, where its name with spaces does not do."""


def protocols_beside(a: Protocol, b: Protocol) -> ProtocolsBeside:
    """Return two protocols with the names of the fields in which they differ, or that are known of one alone."""
    names = [each.name for each in fields(Protocol) if _applies(each.name, a) and _applies(each.name, b)]
    same = [name for name in names if getattr(a, name) not in _UNKNOWN and getattr(a, name) == getattr(b, name)]
    names = [name for name in names if f"{name}_digest" not in same]  # one and the same, whatever it is called
    known = {name: tuple(getattr(side, name) not in _UNKNOWN for side in (a, b)) for name in names}
    return ProtocolsBeside(
        a=a,
        b=b,
        differs_in=tuple(name for name in names if all(known[name]) and getattr(a, name) != getattr(b, name)),
        known_of_one=tuple(name for name in names if len(set(known[name])) == 2),
    )


def protocol_lines(beside: ProtocolsBeside) -> tuple[str, str]:
    """Return the protocol of each side as one sentence."""
    return protocol_line(beside.a, of="Protocol of A"), protocol_line(beside.b, of="Protocol of B")


def differences_in_words(beside: ProtocolsBeside, names: tuple[str, str] = ("A", "B")) -> Iterator[str]:
    """Yield sentences on what the protocols differ in, and on what nobody can tell; none where they are known alike.

    `names` are what the two sides are called.
    """
    a, b = asdict(beside.a), asdict(beside.b)
    if beside.differs_in:
        named = [f"{_called(each)} ({_shown(each, a)} and {_shown(each, b)})" for each in beside.differs_in]
        yield f"The protocols of {names[0]} and {names[1]} differ in {enumerated(named)}."
    for side, own in zip(names, (a, b), strict=True):
        missing = [_called(name) for name in beside.known_of_one if own[name] in _UNKNOWN]
        if missing:
            yield f"Of {side} alone it is not known: {enumerated(missing)}."


def _called(name: str) -> str:
    return _IN_WORDS.get(name, f"the {name.replace('_', ' ')}")


def _applies(name: str, protocol: Protocol) -> bool:
    """Return whether a field can be known at all: a trained head has no tokens, and the base alone no training."""
    if name in _OF_ANSWER_HEADS:
        return protocol.head != "classification"
    return name not in _OF_ADAPTERS or protocol.adapters != "none"


def _shown(name: str, protocol: Mapping[str, Any]) -> str:
    value = protocol[name]
    if name.endswith("_digest"):
        return str(value)[:DIGEST]
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple | list):
        return cut(", ".join(map(str, value)), _CLIP)
    if isinstance(value, int):
        return f"{value:,}"
    return repr(cut(value, _CLIP)) if isinstance(value, str) else f"{value:g}"

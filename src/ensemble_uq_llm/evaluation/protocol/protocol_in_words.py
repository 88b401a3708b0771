"""A protocol in words: its parts with their titles, and all of them as the one sentence that stands at every table."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

from ensemble_uq_llm.evaluation.records import Protocol, SetMetrics
from ensemble_uq_llm.utils.text import counted, cut, enumerated

NOT_KNOWN: Final = "not known"

DIGEST: Final = 12
"""Letters of a digest that are shown."""

_PROMPT = 60
_NAME = 40
_MOST_ANSWERS = 6
_MOST_STEPS = 12


def with_protocol(metrics: SetMetrics, protocol: Protocol) -> SetMetrics:
    """Return the metrics of a set with how they came about."""
    return replace(metrics, protocol=protocol, protocol_line=protocol_line(protocol))


def protocol_line(protocol: Protocol) -> str:
    """Return the protocol as one sentence; of what nobody knows it says so, at its end."""
    parts = protocol_parts(protocol)
    known = "; ".join(f"{title.lower()} {text}" for title, text in parts if text != NOT_KNOWN)
    unknown = [title.lower() for title, text in parts if text == NOT_KNOWN]
    said = [known, f"{NOT_KNOWN}: {enumerated(unknown)}" if unknown else ""]
    return f"Protocol: {'; '.join(filter(None, said))}."


def protocol_parts(protocol: Protocol) -> list[tuple[str, str]]:
    """Return what is known of each part of the protocol, by its title."""
    return [(title, say(protocol) or NOT_KNOWN) for title, say in _PARTS]


def _base(protocol: Protocol) -> str:
    name = _named(protocol.base, protocol.base_digest)
    if protocol.base_revision is not None:
        name += f" at revision {cut(protocol.base_revision, _NAME)}"
    return _joined([name, protocol.dtype])


def _prompt(protocol: Protocol) -> str:
    if protocol.prompt is None:
        return ""
    chat = {None: None, True: "in a chat template", False: "no chat template"}[protocol.chat_template]
    longest = None if protocol.max_length is None else f"{protocol.max_length:,} tokens at most"
    return _joined([repr(cut(protocol.prompt, _PROMPT)), chat, longest])


def _answers(protocol: Protocol) -> str:
    if protocol.head is None:
        return ""
    said = "by a trained classification head" if protocol.head == "classification" else _answer_tokens(protocol)
    return _joined([said, protocol.read_at and f"read at {protocol.read_at}"])


def _answer_tokens(protocol: Protocol) -> str:
    texts, ids = protocol.answers, protocol.answer_token_ids
    if len(texts) == len(ids):
        shown = [f"{cut(text, _NAME)!r} (token {token})" for text, token in zip(texts, ids, strict=True)]
    else:
        shown = [repr(cut(text, _NAME)) for text in texts]
    more = f" and {len(shown) - _MOST_ANSWERS} more" if len(shown) > _MOST_ANSWERS else ""
    return f"by the base's tokens {', '.join(shown[:_MOST_ANSWERS])}{more}" if shown else "by tokens of the base"


def _members(protocol: Protocol) -> str:
    if protocol.members is None:
        return ""
    if protocol.adapters == "none":
        return "the base alone, no adapter"
    rank = None if protocol.lora_r is None else f"LoRA of rank {protocol.lora_r}"
    if rank and protocol.lora_alpha is not None:
        rank += f" and alpha {protocol.lora_alpha:g}"
    if protocol.modules:
        layers = "" if protocol.layers is None else f" of {_layers_in_words(protocol.layers)}"
        rank = f"{rank or 'LoRA'} on {', '.join(name.removesuffix('_proj') for name in protocol.modules)}{layers}"
    pooled = f"their {protocol.pooling} averaged" if protocol.pooling and protocol.members > 1 else None
    given = "adapters made elsewhere" if protocol.adapters == "given" else None
    return _joined([f"{protocol.members:,}", pooled, given, rank])


def _layers_in_words(layers: str) -> str:
    if layers == "all":
        return "all layers"
    return f"layer {layers}" if layers.isdecimal() else f"layers {cut(layers, _NAME)}"


def _training(protocol: Protocol) -> str:
    if protocol.adapters == "none":
        return "none"
    epochs = None if protocol.epochs is None else counted(protocol.epochs, "epoch")
    if epochs and protocol.keep == "best":
        epochs += f", the best kept ({_numbers(protocol.kept_epochs) or NOT_KNOWN})"
    rate = None if protocol.learning_rate is None else f"rate {protocol.learning_rate:g}"
    rows = _rows(protocol.train_rows, protocol.trained_on, protocol.trained_on_digest, protocol.train_rows_cut)
    return _joined([rows, _steps(protocol), epochs, rate])


def _steps(protocol: Protocol) -> str | None:
    if not protocol.steps:
        return None if protocol.batch is None else f"{protocol.batch:,} rows a step"
    batch = "" if protocol.batch is None else f" x {protocol.batch:,} rows"
    steps = _numbers(protocol.steps)
    return f"{steps} steps{batch}" if len(protocol.steps) == 1 else f"steps of the members {steps}{batch}"


def _numbers(numbers: Sequence[int]) -> str:
    shown = ", ".join(f"{number:,}" for number in numbers[:_MOST_STEPS])
    return shown if len(numbers) <= _MOST_STEPS else f"{shown} and {len(numbers) - _MOST_STEPS} more"


def _evaluated(protocol: Protocol) -> str:
    return _rows(
        *(protocol.evaluated_rows, protocol.evaluated_on, protocol.evaluated_on_digest, protocol.evaluated_rows_cut)
    )


def _calibration(protocol: Protocol) -> str:
    if protocol.calibration_rows is None:
        return ""
    return f"on {counted(protocol.calibration_rows, 'row')}" if protocol.calibration_rows else "none"


def _ece(protocol: Protocol) -> str:
    return "" if protocol.ece_bins is None else f"in {protocol.ece_bins} bins of equal width"


_PARTS: Final[tuple[tuple[str, Callable[[Protocol], str]], ...]] = (
    ("Base", _base),
    ("Prompt", _prompt),
    ("Answers", _answers),
    ("Members", _members),
    ("Training", _training),
    ("Evaluated", _evaluated),
    ("Calibration", _calibration),
    ("ECE", _ece),
)


def _rows(rows: int | None, source: str | None, digest: str | None, rows_cut: int | None) -> str:
    """Return how many rows of which data, and how many of them were cut."""
    where = _named(source, digest)
    number = "" if rows is None else counted(rows, "row")
    said = f"{number} of {where}" if number and where else number or where
    return _joined([said, None if rows_cut is None else f"{rows_cut:,} cut" if rows_cut else "none cut"])


def _named(name: str | None, digest: str | None) -> str:
    """Return a name with the first letters of its digest; the digest alone where the name is not known."""
    short = "" if digest is None else digest[:DIGEST]
    if name is None:
        return short and f"{short} (by its digest)"
    return f"{cut(name, _NAME)} ({short})" if short else cut(name, _NAME)


def _joined(parts: Iterable[str | None]) -> str:
    return ", ".join(filter(None, parts))

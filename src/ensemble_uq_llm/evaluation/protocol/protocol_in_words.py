"""A protocol in words: its parts with their titles, and all of them as the one sentence that stands at every table."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from ensemble_uq_llm.evaluation.records import Protocol, SetMetrics
from ensemble_uq_llm.labels.answer_keys import LM_HEAD
from ensemble_uq_llm.utils.text import counted, cut, enumerated

TRAINING: Final = "training"
"""The maker of members that are as they were trained."""

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


def protocol_line(protocol: Protocol, *, of: str = "Protocol") -> str:
    """Return the protocol as one sentence that begins with what it is `of`; at its end stands what nobody knows."""
    parts = protocol_parts(protocol)
    said = [f"{_within(title)} {text}" for title, text in parts if text != NOT_KNOWN]
    unknown = [_within(title) for title, text in parts if text == NOT_KNOWN]
    return f"{of}: {'; '.join([*said, *([f'{NOT_KNOWN}: {enumerated(unknown)}'] if unknown else [])])}."


def protocol_parts(protocol: Protocol) -> list[tuple[str, str]]:
    """Return what is known of each part of the protocol, by its title."""
    return [(title, say(protocol)) for title, say in _PARTS]


def other_protocol_line(name: str, protocol: Protocol, main: Protocol) -> str:
    """Return what another set's protocol has that the main set's has not; empty where that is nothing."""
    same = protocol_parts(main)
    parts = [f"{_within(part[0])} {part[1]}" for part in protocol_parts(protocol) if part not in same]
    return f"Protocol of {name}: the same, but {'; '.join(parts)}." if parts else ""


def _base(protocol: Protocol) -> str:
    name = _named(protocol.base, protocol.base_digest)
    if name and protocol.base_revision is not None:
        name += f" at revision {cut(protocol.base_revision, _NAME)}"
    return _said({"name": name, "number format": protocol.dtype})


def _prompt(protocol: Protocol) -> str:
    chat = {None: None, True: "in a chat template", False: "no chat template"}[protocol.chat_template]
    return _said(
        {
            "text": None if protocol.prompt is None else repr(cut(protocol.prompt, _PROMPT)),
            "chat template": chat,
            "longest": None if protocol.max_length is None else f"{protocol.max_length:,} tokens at most",
        }
    )


def _answers(protocol: Protocol) -> str:
    if protocol.head is None:
        return NOT_KNOWN
    by = "by a trained classification head" if protocol.head == "classification" else _answer_tokens(protocol)
    return _said({"by what": by, "where they are read": protocol.read_at and f"read at {protocol.read_at}"})


def _answer_tokens(protocol: Protocol) -> str:
    texts, ids = protocol.answers, protocol.answer_token_ids
    tokens = [f"token {token}" for token in ids] if len(ids) == len(texts) else [f"token {NOT_KNOWN}"] * len(texts)
    shown = [f"{cut(text, _NAME)!r} ({token})" for text, token in zip(texts, tokens, strict=True)]
    more = f" and {len(shown) - _MOST_ANSWERS} more" if len(shown) > _MOST_ANSWERS else ""
    return f"by the base's own tokens {', '.join(shown[:_MOST_ANSWERS])}{more}" if shown else "by tokens of the base"


def _members(protocol: Protocol) -> str:
    if protocol.adapters == "none":
        return "the base alone, no adapter"
    number = protocol.members
    return _said(
        {
            "number": None if number is None else f"{number:,}",
            "pooling": "" if number == 1 else protocol.pooling and f"their {protocol.pooling} averaged",
            "maker": f"samples by {protocol.maker}" if protocol.maker not in (None, TRAINING) else "",
            "origin": "adapters made elsewhere" if protocol.adapters == "given" else "",
            "adapters": _adapters(protocol),
        }
    )


def _adapters(protocol: Protocol) -> str | None:
    if protocol.lora_r is None and not protocol.modules:
        return None
    rank = "rank not known" if protocol.lora_r is None else f"rank {protocol.lora_r}"
    alpha = f"alpha {NOT_KNOWN}" if protocol.lora_alpha is None else f"alpha {protocol.lora_alpha:g}"
    return f"LoRA of {rank} and {alpha} on {enumerated(list(_places(protocol)))}"


def _places(protocol: Protocol) -> Iterator[str]:
    """Yield where adapters are: modules of layers, and the LM head, which is of none."""
    layers = f"layers {NOT_KNOWN}" if protocol.layers is None else _layers_in_words(protocol.layers)
    if in_layers := [name.removesuffix("_proj") for name in protocol.modules if name != LM_HEAD]:
        yield f"{', '.join(in_layers)} of {layers}"
    elif not protocol.modules:
        yield f"modules {NOT_KNOWN} of {layers}"
    if LM_HEAD in protocol.modules:
        yield "the LM head"


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
    rows = _rows(protocol.train_rows, protocol.trained_on, protocol.trained_on_digest, protocol.train_rows_cut)
    rate = None if protocol.learning_rate is None else f"rate {protocol.learning_rate:g}"
    return _said({**rows, "steps": _steps(protocol), "epochs": epochs, "rate": rate, **_regularised(protocol)})


def _regularised(protocol: Protocol) -> dict[str, str | None]:
    """Return what keeps training in bounds; class weights are said where there are any."""
    warmup, decay, norm = protocol.warmup_steps, protocol.weight_decay, protocol.max_grad_norm
    dropout, weights = protocol.lora_dropout, protocol.class_weights
    return {
        "warm-up": None if warmup is None else counted(warmup, "warm-up step"),
        "weight decay": None if decay is None else f"weight decay {decay:g}",
        "clipping": None if norm is None else f"gradients clipped at {norm:g}" if norm else "gradients not clipped",
        "dropout": None if dropout is None else f"dropout {dropout:g}",
        "class weights": "" if weights == "none" else weights and f"class weights {cut(weights, _NAME)}",
    }


def _steps(protocol: Protocol) -> str | None:
    if not protocol.steps:
        return None if protocol.batch is None else f"steps {NOT_KNOWN} x {protocol.batch:,} rows"
    batch = f" x rows {NOT_KNOWN}" if protocol.batch is None else f" x {protocol.batch:,} rows"
    steps = _numbers(protocol.steps)
    return f"{steps} steps{batch}" if len(protocol.steps) == 1 else f"steps of the members {steps}{batch}"


def _numbers(numbers: Sequence[int]) -> str:
    shown = ", ".join(f"{number:,}" for number in numbers[:_MOST_STEPS])
    return shown if len(numbers) <= _MOST_STEPS else f"{shown} and {len(numbers) - _MOST_STEPS} more"


def _evaluated(protocol: Protocol) -> str:
    return _said(
        _rows(
            *(protocol.evaluated_rows, protocol.evaluated_on, protocol.evaluated_on_digest),
            protocol.evaluated_rows_cut,
        )
    )


def _calibration(protocol: Protocol) -> str:
    if protocol.calibration_rows is None:
        return NOT_KNOWN
    return f"on {counted(protocol.calibration_rows, 'row')}" if protocol.calibration_rows else "none"


def _ece(protocol: Protocol) -> str:
    return NOT_KNOWN if protocol.ece_bins is None else f"in {protocol.ece_bins} bins of equal width"


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


def _rows(rows: int | None, source: str | None, digest: str | None, rows_cut: int | None) -> dict[str, str | None]:
    """Return how many rows, of which data, and how many of them were cut."""
    where = _named(source, digest)
    number = None if rows is None else counted(rows, "row")
    return {
        "rows": number and (f"{number} of {where}" if where else number),
        "data": where and ("" if number else f"of {where}"),
        "how many were cut": None if rows_cut is None else f"{rows_cut:,} cut" if rows_cut else "none cut",
    }


def _named(name: str | None, digest: str | None) -> str | None:
    """Return a name with the first letters of its digest; the digest alone where the name is not known."""
    short = digest and digest[:DIGEST]
    if name is None:
        return short and f"of digest {short}"
    return f"{cut(name, _NAME)} ({short})" if short else cut(name, _NAME)


def _said(facts: Mapping[str, str | None]) -> str:
    """Return facts with what of them is not known, None, by their names; an empty text needs not be said."""
    known = [text for text in facts.values() if text]
    unknown = [name for name, text in facts.items() if text is None]
    if not known:
        return NOT_KNOWN
    return ", ".join([*known, *([f"{enumerated(unknown)} {NOT_KNOWN}"] if unknown else [])])


def _within(title: str) -> str:
    """Return a title as it stands within a sentence."""
    return title if title.isupper() else title.lower()

"""What predictions themselves tell of how they came about; those of other systems tell how many, and no more."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from ensemble_uq_llm.evaluation.quality.calibration import ECE_BINS
from ensemble_uq_llm.evaluation.records import Protocol
from ensemble_uq_llm.predictions.origin import Origin
from ensemble_uq_llm.predictions.record import Predictions

Value = TypeVar("Value")


def known_of_predictions(predictions: Predictions, *, calibration_rows: int | None = None) -> Protocol:
    """Return the protocol as far as predictions tell it: their size, and what their metadata say of their making."""
    made = {} if predictions.origin is None else _known_of_origin(predictions.origin)
    return Protocol(
        **made,
        evaluated_rows=len(predictions.ids),
        calibration_rows=calibration_rows,
        members=len(predictions.members),
        pooling="probabilities",
        ece_bins=ECE_BINS,
    )


def typed(value: Any, kind: type[Value]) -> Value | None:
    """Return a value of a record that anybody can have written; None where it is of another kind or not finite."""
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value


def typed_list(values: Any, kind: type[Value]) -> tuple[Value, ...]:
    """Return a list of such values; an empty one where any is of another kind."""
    if not isinstance(values, list | tuple):
        return ()
    found = [typed(value, kind) for value in values]
    return tuple(value for value in found if value is not None) if None not in found else ()


def _known_of_origin(origin: Origin) -> dict[str, Any]:
    adapters = "none" if origin.foreign and not origin.weights else "given" if origin.foreign else "trained"
    known: dict[str, Any] = {
        "base_digest": origin.base,
        "adapters": adapters,
        "evaluated_on": None if origin.source is None else Path(origin.source).name,
        "evaluated_on_digest": origin.data,
    }
    if adapters != "none":
        scales = common(origin.scales)
        known |= {"lora_r": typed(scales.get("r"), int), "lora_alpha": typed(scales.get("lora_alpha"), float)}
    return known | _known_of_settings(origin.settings)


def _known_of_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the keys say that turn an example into numbers; a switch that is not among them is off."""
    if not settings:
        return {}
    is_chat, answers = bool(settings.get("chat_template")), typed_list(settings.get("answers"), str)
    is_half = typed(settings.get("use_bf16"), bool)
    return {
        "dtype": None if is_half is None else "bfloat16" if is_half else "float32",
        "prompt": typed(settings.get("prompt_template"), str),
        "max_length": typed(settings.get("max_length"), int),
        "chat_template": is_chat,
        "head": "answer" if "answers" in settings else "classification",
        "answers": answers,
        "read_at": (
            "the end-of-text token after the prompt"
            if settings.get("append_eos")
            else "the last token before the reply of the chat"
            if is_chat
            else "the last token of the prompt"
        ),
    }


def common(records: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what all of these records say alike."""
    first, *others = records.values() or [{}]
    return {key: value for key, value in first.items() if all(each.get(key) == value for each in others)}

"""Whether the ensemble notices other data, in sentences that name or count every set."""

from collections.abc import Mapping, Sequence

from ensemble_uq_llm.evaluation.records import Detection, Seen, SetMetrics, Shift
from ensemble_uq_llm.report.formats import score_in_text, show_interval, show_value
from ensemble_uq_llm.statistics.significance import FEWEST_EXAMPLES
from ensemble_uq_llm.utils.text import counted, enumerated

_SURENESS: Mapping[Seen, str] = {"less_sure": "less sure of", "surer": "surer of"}

_NAMED = 4
"""Sets of one kind that are named; the others are counted."""


def shift_in_words(sets: Mapping[str, SetMetrics]) -> list[str]:
    """Return what the ensemble's uncertainty says of the sets beside the one that they are compared with.

    Sets that are declared to be shifted are told apart from other data, that were merely predicted.
    """
    sentences = []
    for role, noun in (("shifted", "shifted set"), ("other", "other set")):
        shifts = {name: metrics.shift for name, metrics in sets.items() if metrics.shift and metrics.role == role}
        sentences += _of_kind(shifts, noun) if shifts else []
    return sentences


def _of_kind(shifts: Mapping[str, Shift], noun: str) -> list[str]:
    """Return one sentence of the whole kind: the sets it is less sure of, those it is surer of, and the others."""
    reference, score = next((shift.reference, shift.detection.score) for shift in shifts.values())
    seen: dict[Seen, dict[str, Detection]] = {"less_sure": {}, "surer": {}, "unclear": {}, "too_few": {}}
    for name, shift in shifts.items():
        seen[shift.detection.seen][name] = shift.detection
    parts: list[str] = []

    def those(found: Mapping[str, Detection]) -> str:
        """How many of the sets, which are named by their kind where they are first spoken of."""
        if len(found) == len(shifts):
            return f"the {noun}" if len(found) == 1 else f"all {counted(len(found), noun)}"
        return f"{len(found)} of {len(shifts)}" if parts else f"{len(found)} of {counted(len(shifts), noun)}"

    for kind, how in _SURENESS.items():
        if found := seen[kind]:
            than = "" if parts else f" than of {reference}"
            parts.append(f"it is {how} {those(found)}{than}, AUROC {_numbers(found)}")
    if found := seen["unclear"]:
        none = len(found) == len(shifts) > 1
        those_or_none = f"tells none of {counted(len(found), noun)}" if none else f"does not tell {those(found)}"
        parts.append(f"it {those_or_none} from {reference} ({_names(found)})")
    if found := seen["too_few"]:
        few = f"fewer than {FEWEST_EXAMPLES} examples there or in {reference}"
        parts.append(f"nothing is said of {those(found)}, with {few} ({_names(found)})")
    return [f"By its {score_in_text(score)}, {'; '.join(parts)}."]


def _numbers(found: Mapping[str, Detection]) -> str:
    """Return AUROC and interval of the sets that are told apart best, and the count of the others."""
    ordered = sorted(found.items(), key=lambda pair: -abs((pair[1].auroc.value or 0.0) - 0.5))
    named = [
        f"{show_value(each.auroc.value, '.2f')} ({name}; {'' if i else '95% interval '}"
        f"{show_interval(each.auroc.ci95, '.2f')})"
        for i, (name, each) in enumerate(ordered[:_NAMED])
    ]
    return _with_the_rest(named, len(found) - _NAMED)


def _names(found: Mapping[str, Detection]) -> str:
    return _with_the_rest(list(found)[:_NAMED], len(found) - _NAMED)


def _with_the_rest(named: Sequence[str], more: int) -> str:
    return enumerated([*named, f"{more} more"] if more > 0 else named)

"""What a set is, in sentences: the options of its questions, and by which protocol other sets were measured."""

from collections.abc import Mapping

from ensemble_uq_llm.evaluation.protocol.protocol_in_words import other_protocol_line
from ensemble_uq_llm.evaluation.records import SetMetrics


def options_in_words(metrics: SetMetrics) -> str:
    """Return how many options the questions have, and what guessing among them earns; empty where there are none."""
    options, averages = metrics.options, metrics.uncertainty
    if options is None:
        return ""
    if options.fewest == options.most:
        number = f"{options.most} options a question"
    else:
        number = f"{averages['average_options']:.2f} options a question on average ({options.fewest} to {options.most})"
    return (
        f"{number}; guessing is right in {averages['accuracy_of_guessing']:.1%}. The entropy is "
        f"{averages['average_normalised_entropy']:.1%} of the most that the options allow, on average."
    )


def other_protocols(sets: Mapping[str, SetMetrics]) -> list[str]:
    """Return a sentence for every set whose protocol is not that of the first."""
    (_, main), *others = sets.items()
    if main.protocol is None:
        return []
    lines = [other_protocol_line(name, each.protocol, main.protocol) for name, each in others if each.protocol]
    return [line for line in lines if line]

"""What multiple choice adds: how many options the questions have, and what guessing among them would earn."""

from ensemble_uq_llm.evaluation.measured import Measured
from ensemble_uq_llm.evaluation.records import Options
from ensemble_uq_llm.labels.option_letters import names_options


def is_choice(measured: Measured) -> bool:
    """Return whether a set is of questions with options: rows lack some, or its prompt shows them."""
    if measured.uncertainty.lacks_NC is not None:
        return True
    origin = measured.predictions.origin
    template = "" if origin is None else origin.settings.get("prompt_template")
    return isinstance(template, str) and names_options(template)


def count_options(measured: Measured) -> Options:
    """Return how many options the questions have."""
    options_N = measured.uncertainty.options_N
    return Options(fewest=int(options_N.min()), most=int(options_N.max()))


def option_averages(measured: Measured) -> dict[str, float]:
    """Return means over all questions: of their options, of the entropy as a share of its most, of guessing right."""
    options_N = measured.uncertainty.options_N
    return {
        "average_options": float(options_N.mean()),
        "average_normalised_entropy": float(measured.uncertainty.normalised_entropy_N.mean()),
        "accuracy_of_guessing": float((1 / options_N).mean()),
    }

"""How values are shown and what they are called: the same on the page, in the terminal and in tables to paste.

Names come from the tables that define them; one that is in none of them is shown as it is.
"""

from typing import Final

from ensemble_uq_llm.evaluation.decisions.shift import ENOUGH_TO_DISAGREE
from ensemble_uq_llm.evaluation.quality.metrics import METRICS, Metric
from ensemble_uq_llm.evaluation.records import MetricEstimate
from ensemble_uq_llm.evaluation.scores import ANSWER_MASS, SCORES
from ensemble_uq_llm.statistics.intervals import Comparison, Estimate, Interval
from ensemble_uq_llm.statistics.significance import p_in_words

UNDEFINED: Final = "—"

METRIC_BY_NAME: Final[dict[str, Metric]] = {metric.name: metric for metric in METRICS}
"""The metrics by their names in the JSON."""

UNCERTAINTY_ROWS: Final = (
    ("average_entropy", "Entropy (total), nats"),
    ("average_expected_entropy", "Expected entropy (aleatoric)"),
    ("average_mutual_information", "Mutual information (epistemic)"),
    ("average_variance", "Variance"),
)
"""Name and title of the average uncertainties that tables show."""

_MINUS = "\N{MINUS SIGN}"
_SCORE_TITLES = {score.name: score.title for score in (*SCORES, ANSWER_MASS)}


def score_title(name: str) -> str:
    """Return the title of a score, for a table."""
    return _SCORE_TITLES.get(name, name.replace("_", " "))


def score_in_text(name: str) -> str:
    """Return the title of a score within a sentence."""
    title = score_title(name)
    return title[:1].lower() + title[1:]


def direction(higher_is_better: bool | None) -> str:
    """Return the arrow that says which way is better; empty where neither is."""
    return {True: "↑", False: "↓", None: ""}[higher_is_better]


def show_value(value: float | None, form: str) -> str:
    """Return a value in its format; a dash where it is undefined."""
    return UNDEFINED if value is None else format(value, form)


def show_interval(interval: Interval | None, form: str) -> str:
    """Return a 95% interval; a dash where it is undefined."""
    return UNDEFINED if interval is None else f"{interval[0]:{form}} to {interval[1]:{form}}"


def show_range(interval: Interval | None, form: str) -> str:
    """Return a 95% interval in the fewest characters, for a table of many columns; of shares without the sign."""
    if interval is None:
        return UNDEFINED
    low, high = (format(end, form).removesuffix("%") for end in interval)
    return f"{low}–{high}"  # noqa: RUF001 (an en dash is what a range has)


def show_difference(difference: float, form: str) -> str:
    """Return a difference with its sign, in one digit more than its parts; of shares in points of a percent."""
    digits = int(form[1:-1]) + 1
    if form.endswith("%"):
        return typeset(f"{100 * difference:+z.{digits}f} points")
    return typeset(f"{difference:+z.{digits}f}")


def difference_in_words(comparison: Comparison, form: str) -> str:
    """Return a difference with its 95% interval and p-value, as far as they are known."""
    parts = [f"difference {UNDEFINED if comparison.value is None else show_difference(comparison.value, form)}"]
    if comparison.ci95 is not None:
        low, high = (show_difference(end, form) for end in comparison.ci95)
        parts.append(f"95% interval {low.removesuffix(' points')} to {high}")
    if comparison.p_value is not None:
        parts.append(p_in_words(comparison.p_value, at_floor=comparison.at_floor))
    return ", ".join(parts)


def noise_floor_in_words(estimate: MetricEstimate, form: str) -> str:
    """Return what a perfectly calibrated model would show, and what is left without noise; empty if unknown."""
    floor = estimate.noise_floor
    if floor is None:
        return ""
    words = f"a calibrated model would show {floor.mean:{form}}, up to {floor.p95:{form}}"
    if estimate.debiased is not None:
        words += f"; without noise {debiased_in_words(estimate.debiased, form)}"
    return words


def debiased_in_words(debiased: Estimate | None, form: str) -> str:
    """Return the true error with its interval; a dash where it is unknown."""
    if debiased is None or debiased.value is None:
        return UNDEFINED
    return show_value(debiased.value, form) + (f" ({show_interval(debiased.ci95, form)})" if debiased.ci95 else "")


def few_members_in_words(members: int) -> str:
    """Return what to know of the mutual information of two or three members; empty of one, and of more."""
    if not 1 < members < ENOUGH_TO_DISAGREE:
        return ""
    return (
        f"With {members} members the mutual information is a rough estimate: below {ENOUGH_TO_DISAGREE} it mostly "
        "tells other data worse than the entropy of a single model does."
    )


def typeset(number: str) -> str:
    """Return a number with the minus sign that a page has in place of a hyphen."""
    return number.replace("-", _MINUS)

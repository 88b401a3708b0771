"""How the numbers of a metrics JSON are called, from the tables that define them.

A name that is in none of them, as a later version may write it, is shown as it is.
"""

from ensemble_uq_llm.evaluation.quality.metrics import METRICS, Metric
from ensemble_uq_llm.evaluation.scores import SCORES

METRIC_BY_NAME: dict[str, Metric] = {metric.name: metric for metric in METRICS}
"""The metrics by their names in the JSON."""

_SCORE_TITLES = {score.name: score.title for score in SCORES}


def score_title(name: str) -> str:
    """Return the title of a score, for a table."""
    return _SCORE_TITLES.get(name, name.replace("_", " "))


def score_in_text(name: str) -> str:
    """Return the title of a score within a sentence."""
    title = score_title(name)
    return title[:1].lower() + title[1:]

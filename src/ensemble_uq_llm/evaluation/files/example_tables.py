"""Tables of one row an example: its uncertainty and its scores, as CSV files or for pandas."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ensemble_uq_llm.evaluation.scores import uncertainty_scores
from ensemble_uq_llm.evaluation.uncertainty import Uncertainty
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.utils.extras import naming_extras
from ensemble_uq_llm.utils.files import write_csv

if TYPE_CHECKING:
    import pandas as pd


def uncertainty_columns(predictions: Predictions, uncertainty: Uncertainty) -> dict[str, Sequence[Any]]:
    """Return label, prediction, probabilities and every measure of uncertainty by the columns' names.

    Where examples lack classes, also how many `options` each has, and the entropy as a share of what these allow.
    """
    columns: dict[str, Sequence[Any]] = {
        "id": predictions.ids,
        "label": predictions.labels,
        "prediction": uncertainty.prediction_N.tolist(),
        "confidence": uncertainty.confidence_N.tolist(),
    }
    columns |= {f"p_{c}": probs_N.tolist() for c, probs_N in enumerate(uncertainty.probs_NC.T)}
    if uncertainty.lacks_NC is not None:
        columns["options"] = uncertainty.options_N.tolist()
        columns["normalised_entropy"] = uncertainty.normalised_entropy_N.tolist()
    return columns | {
        "variance": uncertainty.variance_N.tolist(),
        "entropy": uncertainty.entropy_N.tolist(),
        "expected_entropy": uncertainty.expected_entropy_N.tolist(),
        "mutual_information": uncertainty.mutual_information_N.tolist(),
        "disagreement": uncertainty.disagreement_N.tolist(),
    }


def write_uncertainty(path: Path, predictions: Predictions, uncertainty: Uncertainty) -> None:
    """Write the columns of `uncertainty_columns` as CSV."""
    columns = uncertainty_columns(predictions, uncertainty)
    write_csv(path, list(columns), zip(*columns.values(), strict=True))


def write_scores(path: Path, predictions: Predictions, uncertainty: Uncertainty) -> None:
    """Write one CSV row an example: its id and every score of its uncertainty, higher being less certain."""
    scores = uncertainty_scores(uncertainty)
    columns = [predictions.ids, *(scores_N.tolist() for scores_N in scores.values())]
    write_csv(path, ["id", *scores], zip(*columns, strict=True))


@naming_extras()
def frame_of(columns: Mapping[str, Sequence[Any]]) -> "pd.DataFrame":
    """Return columns as a pandas table; labels are whole numbers, missing where unknown.

    Raises:
        MissingExtraError: pandas is not installed.
    """
    import pandas as pd

    return pd.DataFrame(dict(columns)).astype({"label": "Int64"})

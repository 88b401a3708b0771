"""What several runs are compared by, and these numbers of one of them: pooled, and of one member alone on average."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.decisions.selective import SELECTIVE_NUMBERS, selective_family
from ensemble_uq_llm.evaluation.decisions.shift import separation_family
from ensemble_uq_llm.evaluation.quality.metrics import METRICS, nll
from ensemble_uq_llm.evaluation.scores import BASELINE, Quantity, scores_to_rank
from ensemble_uq_llm.evaluation.uncertainty import Uncertainty, measure_uncertainty
from ensemble_uq_llm.statistics.statistic import Family, family_of, values_of

AFTER_TEMPERATURE: Final = "nll_after_temperature"

DETECTING: Final = {"entropy": "Entropy", "mutual_information": "MI"}
"""The scores by which shifted sets are told, and how tables call them."""

_METRICS: Final = {metric.name: metric for metric in METRICS if metric.name in ("accuracy", "nll", "brier", "ece")}
_AURC: Final = next(quantity for quantity in SELECTIVE_NUMBERS if quantity.name == "aurc")

QUALITY: Final = tuple(
    Quantity(name=name, title=title, format=form, higher_is_better=higher)
    for name, title, form, higher in (
        ("accuracy", "Accuracy", ".1%", True),
        ("nll", "NLL", ".3f", False),
        (AFTER_TEMPERATURE, "NLL after T", ".3f", False),
        ("brier", "Brier", ".3f", False),
        ("ece", "ECE", ".3f", False),
        ("aurc", "AURC", ".4f", False),
    )
)
"""What is measured on the labelled examples."""


def auroc_name(score: str, shifted_set: str) -> str:
    """Return the name of how well a score tells a shifted set."""
    return f"auroc.{score}.{shifted_set}"


def quantities(shifted_sets: Iterable[str]) -> list[Quantity]:
    """Return what runs are compared by, in the order of the tables."""
    return [
        *QUALITY,
        *(
            Quantity(name=auroc_name(score, name), title=f"{title}: {name}", format=".3f", higher_is_better=True)
            for name in shifted_sets
            for score, title in DETECTING.items()
        ),
    ]


def quality_of(
    uncertainty: Uncertainty, labels_N: NDArray[np.int64], after_NC: NDArray[np.float64] | None
) -> Family[str]:
    """Return the numbers of `QUALITY` of one predictor as a family.

    Args:
        uncertainty: of the labelled examples.
        labels_N: their labels.
        after_NC: its log-probabilities after a temperature; None leaves that number out.
    """
    metrics = family_of(
        {name: metric.statistic(uncertainty.log_probs_NC, labels_N) for name, metric in _METRICS.items()}
        | ({} if after_NC is None else {AFTER_TEMPERATURE: nll(after_NC, labels_N)})
    )
    [scores] = scores_to_rank(uncertainty)
    selective = selective_family(scores[BASELINE], uncertainty.prediction_N != labels_N)
    return lambda weights_DN: {**metrics(weights_DN), _AURC.name: selective(weights_DN)[_AURC.name]}


def detection_of(
    scores_S: Mapping[str, NDArray[np.float64]], scores_R: Mapping[str, NDArray[np.float64]]
) -> Family[str]:
    """Return by score how well it tells the shifted examples, whose weights come first, from those of the reference."""
    parts = {score: separation_family(scores_S[score], scores_R[score]) for score in scores_S}
    return lambda weights_DN: {score: part(weights_DN)["auroc"] for score, part in parts.items()}


def detecting_scores(
    shifted: Uncertainty, reference: Uncertainty, *, members: int
) -> list[dict[str, NDArray[np.float64]]]:
    """Return the scores that tell other data, of both sets; one member has no mutual information."""
    known = [score for score in DETECTING if members > 1 or score != "mutual_information"]
    return [{score: scores[score] for score in known} for scores in scores_to_rank(shifted, reference)]


def of_one_member(
    logits_MNC: NDArray[np.floating], labels_N: NDArray[np.int64], after_MNC: Sequence[NDArray[np.float64]] | None
) -> dict[str, float | None]:
    """Return the numbers of `QUALITY` of one member alone, each the mean over all of them."""
    found = []
    for m, logits_NC in enumerate(logits_MNC):
        after_NC = None if after_MNC is None else after_MNC[m]
        family = quality_of(measure_uncertainty(logits_NC[None]), labels_N, after_NC)
        found.append(values_of(family, len(labels_N)))
    return {name: _mean([each[name] for each in found]) for name in found[0]}


def detected_by_one_member(shifted_MNC: NDArray[np.floating], reference_MNC: NDArray[np.floating]) -> float | None:
    """Return the AUROC of one member's entropy, the mean over all of them."""
    found = []
    for logits_SC, logits_RC in zip(shifted_MNC, reference_MNC, strict=True):
        sides = (measure_uncertainty(logits_SC[None]), measure_uncertainty(logits_RC[None]))
        family = detection_of(*detecting_scores(*sides, members=1))
        found.append(values_of(family, len(logits_SC) + len(logits_RC))["entropy"])
    return _mean(found)


def _mean(values: Sequence[float]) -> float | None:
    mean = float(np.sort(values).mean())  # the same to the last digit in whatever order the members come
    return None if np.isnan(mean) else mean

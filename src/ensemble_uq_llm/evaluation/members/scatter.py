"""Entropy against mutual information: is what is uncertain the question, or the members' knowledge?"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.measured import Measured
from ensemble_uq_llm.evaluation.records import HistogramKind, ScatterGroup, UncertaintyScatter

SCATTER_POINTS: Final = 500


def uncertainty_scatter(measured: Measured, *, points: int = SCATTER_POINTS) -> UncertaintyScatter | None:
    """Return entropy and mutual information (nats) of some right, wrong and unlabelled examples; None of one member.

    Each kind keeps its share of the points, and at least one; of each, the examples are taken at even distances in the
    order of their entropy, so that which ones are shown depends neither on chance nor on the order of the file.

    Args:
        measured: the set.
        points: the most examples to show.
    """
    if len(measured.predictions.members) < 2:
        return None
    known_N = measured.predictions.labelled_N
    right_N = known_N & (measured.uncertainty.prediction_N == measured.predictions.labels_N)
    kinds: dict[HistogramKind, NDArray[np.bool_]] = {
        "correct": right_N,
        "wrong": known_N & ~right_N,
        "unlabelled": ~known_N,
    }
    share = min(1.0, points / len(known_N))
    return UncertaintyScatter(
        groups=tuple(
            _group(kind, measured, chosen_N, share=share) for kind, chosen_N in kinds.items() if chosen_N.any()
        )
    )


def _group(kind: HistogramKind, measured: Measured, chosen_N: NDArray[np.bool_], *, share: float) -> ScatterGroup:
    entropy_N, information_N = (
        values_N[chosen_N] for values_N in (measured.uncertainty.entropy_N, measured.uncertainty.mutual_information_N)
    )
    n = len(entropy_N)
    order_N = np.lexsort((information_N, entropy_N))
    shown = order_N[np.linspace(0, n - 1, max(1, int(share * n))).round().astype(np.intp)]
    return ScatterGroup(
        kind=kind,
        n=n,
        entropy=tuple(entropy_N[shown].tolist()),
        mutual_information=tuple(information_N[shown].tolist()),
    )

"""How good the answers are that remain when the least certain ones are withheld.

Examples are ranked from the most certain to the least; the selective risk of the first k is the share of wrong
answers among them. Where a score ties, every number is the exact expectation under random tie-breaking, so
none depends on the order of the file; a score that says nothing gets the plain error rate. Weights are counts
(how often an example was drawn), and copies of one example tie with each other.
"""

from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.records import RiskCoverageCurve
from ensemble_uq_llm.evaluation.scores import Quantity
from ensemble_uq_llm.statistics.statistic import Family, Ranking, Tally

RISKS = (1, 2, 5)
"""The risks, in percent, at which the coverage is reported."""

COVERAGES = (80, 90, 95)
"""The coverages, in percent, at which the risk is reported."""


def selective_family(scores_N: NDArray[np.float64], wrong_N: NDArray[np.bool_]) -> Family[str]:
    """Return the numbers of `SELECTIVE_NUMBERS` for one score, as a family that shares one pass over the ranking.

    With n examples, e of them wrong:
    `aurc`: mean over k = 1..n of the selective risk (Geifman and El-Yaniv 2017, arXiv:1705.08500).
    `eaurc`: `aurc` minus that of the perfect ranking with as many errors (Geifman et al. 2019, arXiv:1805.08206).
    `augrc`: mean over k of the share of all n examples that are wrong and among the k most certain (Traub et al.
    2024, arXiv:2407.01032; an integral by trapezoids from coverage 0 is smaller by e / (2 n^2)).
    `coverage_at_risk_R`: largest share of these very examples that a threshold on the score can keep at a selective
    risk of at most R percent; 0 if none can. A description: on further examples that threshold promises nothing, as
    the luckiest one is taken (`abstention` makes promises).
    `risk_at_coverage_C`: selective risk of the most certain C percent of examples, rounded up to a whole one.
    `error_auroc`, `error_average_precision`: how well the score finds the wrong answers (the positives), as
    scikit-learn defines both; undefined without wrong answers, the first also without right ones.

    Args:
        scores_N: of at least one example; higher is less certain.
        wrong_N: whether the predicted class differs from the label.
    """
    ranking = _right_answers_merged(Ranking.ascending(scores_N, wrong_N))

    def family(weights_DN: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        kept = ranking.tally(weights_DN)
        harmonic = _harmonic_numbers(int(kept.n_D.max()))
        aurc_D = _aurc(kept, harmonic)
        return {
            "aurc": aurc_D,
            # No ranking beats the perfect one; only rounding can.
            "eaurc": np.maximum(aurc_D - _perfect_aurc(kept, harmonic), 0.0),
            **_error_detection(kept),
            **{f"coverage_at_risk_{percent}": _coverage_at_risk(kept, percent) for percent in RISKS},
            **{f"risk_at_coverage_{percent}": _risk_at_coverage(kept, percent) for percent in COVERAGES},
        }

    return family


def risk_coverage_curve(
    scores_N: NDArray[np.float64], wrong_N: NDArray[np.bool_], *, points: int = 100
) -> RiskCoverageCurve:
    """Return the selective risk by coverage, to be drawn.

    Every point is one that a threshold on the score can reach, and exact. The first is the group of the most
    certain examples, the last is everything; of the others all are there, or so many as lie evenly in coverage.

    Args:
        scores_N: higher is less certain.
        wrong_N: whether the predicted class differs from the label.
        points: the most points to return, at least 2.
    """
    kept = Ranking.ascending(scores_N, wrong_N).tally(np.ones((1, len(scores_N))))
    errors_G, kept_G = kept.positive_up_to_DG[0], kept.all_up_to_DG[0]
    at_P = np.arange(len(kept_G))
    if len(kept_G) > points:
        at_P = np.unique(np.searchsorted(kept_G, np.linspace(kept_G[0], kept_G[-1], points)))
    return RiskCoverageCurve(
        coverage=tuple((kept_G[at_P] / len(scores_N)).tolist()), risk=tuple((errors_G[at_P] / kept_G[at_P]).tolist())
    )


def _right_answers_merged(ranking: Ranking) -> Ranking:
    """Return the ranking with neighbouring groups that hold no error as one group.

    No quantity changes: the risk only falls on such a stretch, so its inner thresholds are never the best, and
    it does not matter which of the right answers is kept first. It leaves few groups where errors are few.
    """
    has_error_G = np.add.reduceat(ranking.positive_N, ranking.starts_G) > 0
    stays_G = has_error_G | np.concatenate([[True], has_error_G[:-1]])
    return replace(ranking, starts_G=ranking.starts_G[stays_G])


@lru_cache(maxsize=4)
def _harmonic_numbers(n: int) -> NDArray[np.float64]:
    """Return H[0..n], H[k] = 1 + 1/2 + ... + 1/k."""
    return np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, n + 1))])


def _aurc(kept: Tally, harmonic: NDArray[np.float64]) -> NDArray[np.float64]:
    """A group of W with error share r, after N' examples with E' errors, adds sum_j (E' + r j) / (N' + j), j = 1..W.

    That is W r + (E' - r N') (H[N' + W] - H[N']).
    """
    ahead_DG = kept.all_up_to_DG - kept.all_DG
    share_DG = kept.positive_DG / np.maximum(kept.all_DG, 1.0)  # a group that was not drawn has nothing to share
    surplus_DG = kept.positive_up_to_DG - kept.positive_DG - share_DG * ahead_DG
    reached_DG = harmonic[kept.all_up_to_DG.astype(np.intp)]
    total_D = np.vecdot(surplus_DG, np.diff(reached_DG, axis=1, prepend=0.0))
    return (kept.positives_D + total_D) / kept.n_D


def _perfect_aurc(kept: Tally, harmonic: NDArray[np.float64]) -> NDArray[np.float64]:
    """All right answers first, then e wrong ones: the sum over j = 1..e of j / (n - e + j)."""
    right_D = kept.n_D - kept.positives_D
    steps_D = harmonic[kept.n_D.astype(np.intp)] - harmonic[right_D.astype(np.intp)]
    return (kept.positives_D - right_D * steps_D) / kept.n_D


def _error_detection(kept: Tally) -> dict[str, NDArray[np.float64]]:
    return {
        "augrc": (kept.lost_pairs() + kept.positives_D * (kept.positives_D + 1) / 2) / kept.n_D**2,
        "error_auroc": kept.roc_area(),
        "error_average_precision": kept.average_precision(),
    }


def _coverage_at_risk(kept: Tally, percent: int) -> NDArray[np.float64]:
    # In whole numbers, so that no rounding decides whether a risk is kept.
    fits_DG = 100 * kept.positive_up_to_DG <= percent * kept.all_up_to_DG
    last_D = fits_DG.shape[1] - 1 - fits_DG[:, ::-1].argmax(axis=1)
    rows = np.arange(len(last_D))
    return np.where(fits_DG[rows, last_D], kept.all_up_to_DG[rows, last_D] / kept.n_D, 0.0)


def _risk_at_coverage(kept: Tally, percent: int) -> NDArray[np.float64]:
    wanted_D = np.ceil(percent * kept.n_D / 100)
    group_D = (kept.all_up_to_DG >= wanted_D[:, None]).argmax(axis=1)
    at = (np.arange(len(group_D)), group_D)
    beyond_D = kept.all_up_to_DG[at] - wanted_D
    errors_D = kept.positive_up_to_DG[at] - beyond_D * kept.positive_DG[at] / kept.all_DG[at]
    return errors_D / wanted_D


SELECTIVE_NUMBERS = (
    Quantity(name="aurc", title="AURC", format=".4f", higher_is_better=False),
    Quantity(name="eaurc", title="E-AURC", format=".4f", higher_is_better=False),
    Quantity(name="augrc", title="AUGRC", format=".4f", higher_is_better=False),
    *(
        Quantity(name=f"coverage_at_risk_{r}", title=f"Coverage at {r}% risk", format=".1%", higher_is_better=True)
        for r in RISKS
    ),
    *(
        Quantity(name=f"risk_at_coverage_{c}", title=f"Risk at {c}% coverage", format=".1%", higher_is_better=False)
        for c in COVERAGES
    ),
    Quantity(name="error_auroc", title="AUROC of errors", format=".3f", higher_is_better=True),
    Quantity(name="error_average_precision", title="Average precision of errors", format=".3f", higher_is_better=True),
)

"""Is a certificate's promise kept on other rows, such as those of the evaluation split?"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.evaluation.decisions.abstention.certificate import Certificate, KeptPromise
from ensemble_uq_llm.evaluation.decisions.abstention.labelled_scores import LabelledScores
from ensemble_uq_llm.evaluation.decisions.promise import judge_risk
from ensemble_uq_llm.statistics.binomial import clopper_pearson


def judge_certificate(certificate: Certificate, labelled: LabelledScores) -> tuple[KeptPromise, ...]:
    """Return how the certificate does on other labelled rows, group by group; without a threshold nothing is judged.

    Args:
        certificate: fitted on none of these rows.
        labelled: the rows, with groups of the certificate's kind where it has some.
    """
    scores_N = labelled.scores[certificate.score]
    answered_N = certificate.answers(scores_N, labelled.groups_N)
    judged = [group for group in certificate.groups if group.threshold is not None]
    return tuple(
        _judged(certificate, group, answered_N[rows_N], labelled.wrong_N[rows_N], judgements=len(judged))
        for group, rows_N in _rows_of(certificate, labelled)
    )


def _rows_of(certificate: Certificate, labelled: LabelledScores) -> Iterator[tuple[str | None, NDArray[np.bool_]]]:
    """Yield the groups that have a threshold, and which rows are theirs."""
    everything_N = np.ones(len(labelled.wrong_N), np.bool_)
    for each in certificate.groups:
        if each.threshold is not None:
            is_own_N = np.array([name == each.group for name in labelled.groups_N or ()], np.bool_)
            yield each.group, everything_N if certificate.by == "all" else is_own_N


def _judged(
    certificate: Certificate,
    group: str | None,
    answered_N: NDArray[np.bool_],
    wrong_N: NDArray[np.bool_],
    *,
    judgements: int,
) -> KeptPromise:
    answered, wrong = int(answered_N.sum()), int((answered_N & wrong_N).sum())
    return KeptPromise(
        group=group,
        verdict=judge_risk(wrong, answered, target_risk=certificate.target_risk, judgements=judgements),
        rows=len(answered_N),
        answered=answered,
        wrong_answered=wrong,
        risk_ci95=clopper_pearson(wrong, answered),
    )

"""The certificate of abstention, fitted on labelled rows: for all of them, a predicted class, or a group."""

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.errors import ConfigError, DataError
from ensemble_uq_llm.evaluation.decisions.abstention.certificate import Certificate, CertifiedGroup
from ensemble_uq_llm.evaluation.decisions.abstention.fixed_sequence import largest_answered
from ensemble_uq_llm.evaluation.decisions.abstention.labelled_scores import LabelledScores
from ensemble_uq_llm.evaluation.decisions.score_choice import choose_score
from ensemble_uq_llm.evaluation.decisions.selective import selective_family
from ensemble_uq_llm.evaluation.scores import BASELINE
from ensemble_uq_llm.statistics.bootstrap import resample_together
from ensemble_uq_llm.utils.suggest import did_you_mean
from ensemble_uq_llm.utils.text import clipped

ANY: Final = "any"
"""In place of a score: the one that answers most, all of them sharing the error probability."""

BEST: Final = "best"
"""In place of a score: the one that a half of the rows chooses, while the other half certifies it."""

_CHOICE_DRAWS: Final = 200


def certify(
    labelled: LabelledScores, *, target_risk: float, confidence: float, score: str = BASELINE, seed: int = 0
) -> Certificate:
    """Return the certificate that answers most rows.

    The groups share the error probability, and so do the scores of `any`: all that is promised holds together.

    Args:
        labelled: the calibration rows, at least one.
        target_risk: the largest share of wrong answers among the answered.
        confidence: how probable it has to be, over calibration sets, that no more are wrong.
        score: the name of one, `any`, or `best`.
        seed: of the halves that `best` makes.

    Raises:
        ConfigError: a number is not between 0 and 1, or there is no such score.
        DataError: `best` has fewer than two rows.
    """
    check_promise(target_risk, confidence)
    if score == BEST:
        return _on_halves(labelled, target_risk=target_risk, confidence=confidence, seed=seed)
    known = list(labelled.scores)
    if score not in (names := [*known, ANY, BEST]):
        raise ConfigError(f"--score {clipped(score)}: must be one of {', '.join(names)}{did_you_mean(score, names)}")
    tried = known if score == ANY else [score]
    groups = labelled.rows_by_group()
    delta = (1 - confidence) / len(groups) / len(tried)
    certificates = [
        Certificate(
            target_risk=target_risk,
            confidence=confidence,
            score=name,
            groups=tuple(
                _certified(labelled, name, group, rows, target_risk=target_risk, delta=delta)
                for group, rows in groups.items()
            ),
            by=labelled.by,
            column=labelled.column,
            scores_tried=len(tried),
        )
        for name in tried
    ]
    return max(certificates, key=lambda each: each.answered)  # the first of equals, the baseline before all


def check_promise(target_risk: float, confidence: float) -> None:
    """Raise ConfigError where nothing can be promised: a number is not between 0 and 1."""
    wrong = [
        f"--{name} {value:.12g}: must be above 0 and below 1, such as {example}"
        for name, value, example in (("target-risk", target_risk, 0.05), ("confidence", confidence, 0.9))
        if not 0 < value < 1
    ]
    if wrong:
        raise ConfigError("\n".join(wrong))


def _certified(
    labelled: LabelledScores,
    score: str,
    group: str | None,
    rows: NDArray[np.intp],
    *,
    target_risk: float,
    delta: float,
) -> CertifiedGroup:
    scores_N, wrong_N = labelled.scores[score][rows], labelled.wrong_N[rows]
    found = largest_answered(scores_N, wrong_N, target_risk=target_risk, delta=delta)
    return CertifiedGroup(
        group=group,
        threshold=None if found is None else found.threshold,
        rows=len(rows),
        wrong=int(wrong_N.sum()),
        answered=0 if found is None else found.rows,
        wrong_answered=0 if found is None else found.wrong,
    )


def _on_halves(labelled: LabelledScores, *, target_risk: float, confidence: float, seed: int) -> Certificate:
    """Choose the score on one half of the rows, drawn at random, and certify it on the other."""
    rows = len(labelled.wrong_N)
    if rows < 2:
        raise DataError(f"--score {BEST}: one half of the rows chooses the score, and there is 1 row; name a score")
    drawn = np.random.default_rng(seed).permutation(rows)
    choosing, certifying = (labelled.take(np.sort(half)) for half in (drawn[: rows // 2], drawn[rows // 2 :]))
    families = {name: selective_family(scores_N, choosing.wrong_N) for name, scores_N in choosing.scores.items()}
    resampled = resample_together(families, sizes=[rows // 2], draws=_CHOICE_DRAWS, seed=seed)
    chosen = choose_score(resampled, names=list(families)).chosen
    certificate = certify(certifying, target_risk=target_risk, confidence=confidence, score=chosen)
    return replace(certificate, chosen_on=rows // 2)

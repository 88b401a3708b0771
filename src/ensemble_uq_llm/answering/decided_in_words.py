"""A certificate for people and for programs: the promise, its price, and what more rows would give."""

from collections.abc import Iterator
from typing import Any

from ensemble_uq_llm.evaluation.decisions.abstention.certificate import Certificate, CertifiedGroup, KeptPromise
from ensemble_uq_llm.evaluation.decisions.abstention.fixed_sequence import EVERY_ROW, fewest_rows
from ensemble_uq_llm.evaluation.decisions.abstention.power import ENOUGH, PowerCurve
from ensemble_uq_llm.evaluation.files.decide_files import Decided
from ensemble_uq_llm.statistics.binomial import clopper_pearson
from ensemble_uq_llm.utils.text import counted


def as_json_object(decided: Decided) -> dict[str, Any]:
    """Return what `decide --json` prints; the threshold is null where nothing is certified or each group has one."""
    certificate = decided.certificate
    content: dict[str, Any] = {
        "score": certificate.score,
        "threshold": certificate.threshold,
        "coverage": certificate.coverage,
        "certified_risk": certificate.certified_risk,
        "confidence": certificate.confidence,
        "target_risk": certificate.target_risk,
        "by": certificate.column or certificate.by,
        "scores_tried": certificate.scores_tried,
        "chosen_on": certificate.chosen_on,
        "groups": [_of_group(each) for each in certificate.groups],
        "kept": [
            {
                "group": each.group,
                "verdict": each.verdict,
                "rows": each.rows,
                "answered": each.answered,
                "wrong_answered": each.wrong_answered,
                "risk_ci95": list(each.risk_ci95),
            }
            for each in decided.kept
        ],
    }
    if decided.power is not None:
        content["rows_estimated"] = _rows_enough(decided.power, certificate)
        content["power"] = [
            {"rows": each.rows, "certified": each.certified, "coverage": each.coverage} for each in decided.power.points
        ]
    return content | ({} if decided.written is None else {"decision": str(decided.written)})


def _of_group(group: CertifiedGroup) -> dict[str, Any]:
    return {
        "group": group.group,
        "threshold": group.threshold,
        "rows": group.rows,
        "answered": group.answered,
        "wrong_answered": group.wrong_answered,
        "wrong": group.wrong,
        "coverage": group.coverage,
        "coverage_ci95": list(clopper_pearson(group.answered, group.rows)),
    }


def in_words(decided: Decided) -> Iterator[str]:
    """Yield the lines that `decide` prints."""
    certificate = decided.certificate
    for group in certificate.groups:
        yield from _group_in_words(certificate, group)
    if certificate.chosen_on:
        yield f"The score was chosen on {counted(certificate.chosen_on, 'other row')}."
    if certificate.scores_tried > 1 and certificate.answered:
        yield f"{certificate.scores_tried} scores share the error probability; this one answers most."
    if certificate.certified_risk is not None:
        yield (
            "It holds for questions of the calibration rows' kind, answered by these very members; of other kinds "
            "nothing is promised."
        )
    for kept in decided.kept:
        yield _kept_in_words(certificate, kept)
    if decided.power is not None:
        yield _power_in_words(certificate, decided.power)
    if decided.written is not None:
        yield f"decision: {decided.written}"


def _group_in_words(certificate: Certificate, group: CertifiedGroup) -> Iterator[str]:
    of = "" if group.group is None else f"{_kind(certificate)} {group.group}: "
    risk, sure = f"{certificate.target_risk:.12g}", f"{certificate.confidence:.12g}"
    if group.threshold is None:
        tried = certificate.score if certificate.scores_tried == 1 else f"any of {certificate.scores_tried} scores"
        yield (
            f"{of}Nothing can be certified: no threshold on {tried} is shown, with a confidence of {sure}, "
            f"to leave at most a share of {risk} wrong among the answered ({counted(group.rows, 'calibration row')}, "
            f"{group.plain_risk:.1%} wrong where all are answered). So nothing is answered."
        )
        return
    where = "always" if group.threshold == EVERY_ROW else f"where {certificate.score} is at most {group.threshold:.6g}"
    low, high = clopper_pearson(group.answered, group.rows)
    yield f"{of}Answer {where}: then at most a share of {risk} of the answers is wrong, with a confidence of {sure}."
    yield (
        f"  It answers {group.coverage:.1%} of the {counted(group.rows, 'calibration row')} (95% interval {low:.1%} to "
        f"{high:.1%})."
    )
    questions = "1,000 questions" if group.group is None else "1,000 questions of these"
    wrong = 1000 * group.wrong_answered / group.rows
    yield (
        f"  Of {questions} about {1000 * group.coverage:,.0f} are answered, about {wrong:,.0f} of them wrongly "
        f"({group.risk or 0:.1%} of the answers); answering all would give about {1000 * group.plain_risk:,.0f} wrong "
        f"answers ({group.plain_risk:.1%})."
    )


def _kept_in_words(certificate: Certificate, kept: KeptPromise) -> str:
    of = "" if kept.group is None else f"{_kind(certificate)} {kept.group}: "
    found = f"{kept.wrong_answered:,} of {kept.answered:,} answers wrong, {kept.rows:,} rows"
    low, high = kept.risk_ci95
    said = {
        "kept": "nothing there speaks against the promise",
        "missed": "more than the promise and chance allow: either this calibration set was one of the unlucky ones "
        f"(at most {1 - certificate.confidence:.2g} of them are), or these rows are of another kind",
        "cannot be told": "too few answers to tell",
    }[kept.verdict]
    return f"{of}On the evaluation split: {found} (95% interval {low:.1%} to {high:.1%}); {said}."


def _power_in_words(certificate: Certificate, power: PowerCurve) -> str:
    delta = (1 - certificate.confidence) / certificate.scores_tried
    fewest = fewest_rows(target_risk=certificate.target_risk, delta=delta)
    least = f"Fewer than {fewest:,} answered rows certify nothing, were none of them wrong."
    enough = _rows_enough(power, certificate)
    if enough is not None:
        covered = power.points[-1].coverage
        return (
            f"{least} By the errors of these rows about {enough:,} calibration rows would do in {ENOUGH:.0%} of cases, "
            f"and answer about {covered:.0%} (an estimate, from resampling them)."
        )
    return (
        f"{least} By the errors of these rows no number of rows is likely to do with this score: allow a higher risk, "
        "or try another score (an estimate)."
    )


def _rows_enough(power: PowerCurve, certificate: Certificate) -> int | None:
    """Return how many rows would do; twice as many where one half chooses the score."""
    return None if power.enough is None else power.enough * (2 if certificate.chosen_on else 1)


def _kind(certificate: Certificate) -> str:
    return "Predicted class" if certificate.by == "class" else str(certificate.column)

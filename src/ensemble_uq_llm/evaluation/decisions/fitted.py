"""What is fitted on a calibration split, as one object that is saved, loaded and applied to new predictions."""

import hashlib
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.evaluation.decisions.abstention.certificate import Certificate
from ensemble_uq_llm.evaluation.decisions.abstention.labelled_scores import predicted_classes
from ensemble_uq_llm.evaluation.decisions.conformal import SetRule, fit_rules, include
from ensemble_uq_llm.evaluation.decisions.score_choice import choose_score
from ensemble_uq_llm.evaluation.decisions.selective import selective_family
from ensemble_uq_llm.evaluation.decisions.temperature import Place, Temperatures, fit_temperatures
from ensemble_uq_llm.evaluation.files.versioned_json import VersionedJson
from ensemble_uq_llm.evaluation.measured import Measured, uncertainty_of
from ensemble_uq_llm.evaluation.records import BestScore, CalibrationSet
from ensemble_uq_llm.evaluation.scores import scores_to_abstain_by, uncertainty_scores
from ensemble_uq_llm.evaluation.uncertainty import measure_uncertainty
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.predictions.ordering import by_name
from ensemble_uq_llm.predictions.origin import Origin, differences
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.predictions.selection import of_labelled, of_members
from ensemble_uq_llm.statistics.bootstrap import DRAWS, resample_together
from ensemble_uq_llm.storage.guard import check_company
from ensemble_uq_llm.utils.files import AnyPath, as_path
from ensemble_uq_llm.utils.text import counted, listed

SCHEMA_VERSION: Final = 2
"""The first did not know whose weights it was fitted for, nor which thresholds are tied."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Decisions:
    """What the fitted decisions say of N examples."""

    log_probs_NC: dict[Place, NDArray[np.float64]]
    """The ensemble's calibrated log-probabilities, by where the temperature is applied."""
    sets_RNC: tuple[NDArray[np.bool_], ...]
    """The classes that every example's set holds, one array for each of the rules."""
    score_N: NDArray[np.float64]
    """The chosen score: higher is less certain."""

    def __repr__(self) -> str:
        return f"Decisions({counted(len(self.score_N), 'example')}, {counted(len(self.sets_RNC), 'set rule')})"


@dataclass(frozen=True, kw_only=True, repr=False)
class Fitted:
    """Temperatures, conformal rules and the score to abstain by, fitted on one calibration split."""

    members: tuple[MemberId, ...]
    """Whose predictions they were fitted on, in this order."""
    classes: int
    calibration: CalibrationSet
    calibration_sha256: str
    """Of the ids, labels, members and logits of the labelled examples that it was fitted on."""
    temperatures: Temperatures
    rules: tuple[SetRule, ...]
    best_score: BestScore
    certificates: tuple[Certificate, ...] = ()
    """Promises of abstention on the same rows, each by itself; `decide` makes them."""
    member_weights: dict[str, str] | None = None
    """The SHA-256 of the members' weights, by the names of their folders; None where it is not known."""

    def __repr__(self) -> str:
        members, rules = counted(len(self.members), "member"), counted(len(self.rules), "set rule")
        return f"Fitted({members}, {self.classes} classes, {counted(self.calibration.n, 'example')}, {rules})"

    def apply(
        self, predictions: Predictions, *, rng: np.random.Generator, drawn_N: NDArray[np.intp] | None = None
    ) -> Decisions:
        """Return the decisions on any examples, labelled or not, shifted or not.

        Args:
            predictions: of the members that these decisions were fitted on, in any order; further ones are left out.
            rng: of the random parts of the conformal method `aps`.
            drawn_N: the order of the examples in which these are drawn; that of their ids where it is None, so that no
                set depends on where in a file its example stands.

        Raises:
            DataError: a member is missing or has other weights, or the number of classes is another.
        """
        own = self.of_own_members(predictions)
        uncertainty = measure_uncertainty(own.logits_MNC)
        order_N = by_name(own.ids) if drawn_N is None else drawn_N
        lacks_NC = None if uncertainty.lacks_NC is None else uncertainty.lacks_NC[order_N]
        ordered_RNC = include(self.rules, uncertainty.probs_NC[order_N], rng=rng, lacks_NC=lacks_NC)
        return Decisions(
            log_probs_NC=self.temperatures.apply(own.logits_MNC),
            sets_RNC=tuple(sets_NC[np.argsort(order_N)] for sets_NC in ordered_RNC),
            score_N=uncertainty_scores(uncertainty)[self.best_score.chosen],
        )

    def answers(
        self, predictions: Predictions, certificate: Certificate, groups: Sequence[str] | None = None
    ) -> NDArray[np.bool_]:
        """Return which examples are answered under one of the certificates.

        Args:
            predictions: of any examples, as of `apply`.
            certificate: one of these.
            groups: of a certificate by a column, what stands there for each example; predicted classes are known.

        Raises:
            DataError: as `apply`; or a certificate by a column is given no groups, or the answer mass is not known.
        """
        uncertainty = uncertainty_of(self.of_own_members(predictions))
        scores = uncertainty_scores(uncertainty)
        if certificate.score not in scores:
            raise DataError(
                f"the set has no {certificate.score}, by which it would be decided what is answered; predict it as the "
                "calibration set was"
            )
        if certificate.by == "class":
            groups = predicted_classes(uncertainty)
        return certificate.answers(scores[certificate.score], groups)

    def certificate(self, target_risk: float, confidence: float | None = None, *, run: str = "RUN") -> Certificate:
        """Return the certificate of all rows for a target risk: of this confidence, or else of the highest.

        `run` is what the run is called in the command that a message names.

        Raises:
            DataError: there is none; the message names those that there are, and the command that makes one.
        """
        found = [
            each
            for each in self.certificates
            if each.by == "all" and each.target_risk == target_risk and confidence in (None, each.confidence)
        ]
        if not found:
            sure = "" if confidence is None else f" --confidence {confidence:.12g}"
            there = [
                f"{each.target_risk:.12g} at {100 * each.confidence:.12g}%"
                for each in self.certificates
                if each.by == "all"
            ]
            raise DataError(
                f"no certificate for a risk of {target_risk:.12g} has been fitted; there are {listed(there) or 'none'}"
                f"; make it with `ensemble-uq decide {run} --target-risk {target_risk:.12g}{sure}`"
            )
        return max(found, key=lambda each: each.confidence)

    def with_certificate(self, certificate: Certificate) -> "Fitted":
        """Return the same with a certificate more, in place of one that promises the same."""
        others = [each for each in self.certificates if _promise_of(each) != _promise_of(certificate)]
        return replace(self, certificates=(*others, certificate))

    def warn_of_lost_promises(self, path: Path) -> None:
        """Warn where the certificates go, as what is fitted on other rows or members is written in place of this."""
        if self.certificates:
            warnings.warn(
                f"{path}: its {counted(len(self.certificates), 'certificate')} of abstention held for other "
                "calibration rows or members, and went; make them again with `ensemble-uq decide`",
                stacklevel=3,
            )

    def is_of(self, calibration: Predictions) -> bool:
        """Tell whether this was fitted on these labelled examples of the same members."""
        weights = None if calibration.origin is None else dict(calibration.origin.weights)
        return self.calibration_sha256 == _digest(of_labelled(calibration)) and self.member_weights == weights

    def is_same_fit(self, other: "Fitted") -> bool:
        """Tell whether both were fitted on the same labelled examples of the same members."""
        return (self.calibration_sha256, self.member_weights) == (other.calibration_sha256, other.member_weights)

    def of_own_members(self, predictions: Predictions) -> Predictions:
        """Return the predictions of the members that this is for, in the order in which it was fitted on them.

        Raises:
            DataError: a member is missing or has other weights, or the number of classes is another.
        """
        own = of_members(predictions, self.members, name="the set", others="the calibration set")
        self.check_made_by(own.members, own.origin, classes=predictions.logits_MNC.shape[2])
        return own

    def check_made_by(self, members: Sequence[MemberId], origin: Origin | None, *, classes: int) -> None:
        """Raise DataError where a member that this was fitted on is missing or has other weights, or classes differ."""
        if classes != self.classes:
            raise DataError(
                f"the set has {classes} classes, the calibration set {self.classes}; decisions hold for one task"
            )
        weights = self.member_weights or {}
        if other := differences(members, origin, wanted=self.members, allowed=members, weights=weights):
            raise DataError(
                f"the set was predicted {other[0]} than the calibration set; predict both again with the same members, "
                "and evaluate again"
            )

    def write(self, path: AnyPath) -> None:
        """Write the JSON file, whole or not at all; every number is read back as it is."""
        _FORM.write(as_path(path, "decisions"), self)

    @staticmethod
    def read(path: AnyPath) -> "Fitted":
        """Read what `write` has written.

        Raises:
            IntegrityError: the file is missing, torn, of another schema, or no such record; in a run, also where it
                does not go with the calibration split and the metrics beside it.
        """
        path = as_path(path, "decisions")
        fitted = _FORM.read(path)
        check_company(path)
        return fitted


_FORM: Final = VersionedJson(
    adapter=TypeAdapter(Fitted),
    version=SCHEMA_VERSION,
    remedy="evaluate with a calibration set again (`ensemble-uq evaluate`) to write it anew",
)


def fit_decisions(
    calibration: Predictions, *, name: str, rng: np.random.Generator, draws: int = DRAWS, seed: int = 0
) -> Fitted:
    """Fit temperatures and conformal rules, and choose the score to abstain by.

    Args:
        calibration: the examples to fit on; only the labelled ones are used.
        name: what the set is called.
        rng: of the random parts of the conformal method `aps`.
        draws: of the bootstrap that judges the choice of the score; 0 keeps the baseline.
        seed: of that bootstrap.

    Raises:
        DataError: there is no labelled example.
    """
    if not calibration.labelled_N.any():
        raise DataError("the calibration set has no labelled example to fit on; label some or give another set")
    labelled = of_labelled(calibration)
    measured = Measured.of(labelled)
    families = {score: selective_family(scores_N, measured.wrong_N) for score, scores_N in measured.scores.items()}
    return Fitted(
        members=labelled.members,
        classes=measured.classes,
        calibration=CalibrationSet(name=name, n=measured.n),
        calibration_sha256=_digest(labelled),
        temperatures=fit_temperatures(
            labelled.logits_MNC,
            labelled.labels_N,
            labelled.members,
            pooled_NC=measured.uncertainty.log_probs_NC,
            left_out_MN=labelled.left_out_MN,
        ),
        rules=fit_rules(measured.uncertainty.probs_NC, labelled.labels_N, rng=rng),
        member_weights=None if labelled.origin is None else dict(labelled.origin.weights),
        best_score=choose_score(
            resample_together(families, sizes=[measured.n], draws=draws, seed=seed),
            names=scores_to_abstain_by(len(labelled.members)),
        ),
    )


def _promise_of(certificate: Certificate) -> tuple[object, ...]:
    return certificate.target_risk, certificate.confidence, certificate.by, certificate.column


def _digest(predictions: Predictions) -> str:
    members = [(member.seed, member.sample) for member in predictions.members]
    digest = hashlib.sha256(json.dumps([predictions.ids, predictions.labels, members]).encode())
    digest.update(np.ascontiguousarray(predictions.logits_MNC, dtype="<f8").tobytes())
    if predictions.left_out_MN is not None:
        digest.update(np.packbits(predictions.left_out_MN).tobytes())
    return digest.hexdigest()

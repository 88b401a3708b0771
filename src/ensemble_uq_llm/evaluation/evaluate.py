"""From predictions to the metrics JSON and the table of uncertainties: of records, of files, or of a whole run."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.evaluation.assemble import beside_reference, unlabelled_metrics, with_decisions, with_labels
from ensemble_uq_llm.evaluation.conclusions.findings import conclude
from ensemble_uq_llm.evaluation.decisions.disjoint import (
    apart_from_calibration,
    check_none_was_trained_on,
    name_of_calibration,
    without_test_examples,
)
from ensemble_uq_llm.evaluation.decisions.fitted import Fitted, fit_decisions
from ensemble_uq_llm.evaluation.files.example_tables import frame_of, uncertainty_columns
from ensemble_uq_llm.evaluation.histograms import histogram_axes
from ensemble_uq_llm.evaluation.labelled import LabelledNumbers, resample_labelled
from ensemble_uq_llm.evaluation.measured import Measured
from ensemble_uq_llm.evaluation.members.scatter import uncertainty_scatter
from ensemble_uq_llm.evaluation.protocol.known_of_predictions import known_of_predictions
from ensemble_uq_llm.evaluation.protocol.protocol_in_words import with_protocol
from ensemble_uq_llm.evaluation.records import SetMetrics
from ensemble_uq_llm.evaluation.single_examples import examples_to_read
from ensemble_uq_llm.evaluation.uncertainty import Uncertainty
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.predictions.freshness import check_go_together
from ensemble_uq_llm.predictions.ordering import in_order
from ensemble_uq_llm.predictions.record import Predictions, check_is_predictions
from ensemble_uq_llm.predictions.selection import of_labelled, of_members
from ensemble_uq_llm.run_folder import VALIDATION
from ensemble_uq_llm.statistics.bootstrap import DRAWS, check_resampling

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Evaluation:
    """One evaluated set: what was predicted, what is uncertain about it, and how good it is."""

    predictions: Predictions
    uncertainty: Uncertainty
    metrics: SetMetrics
    """What the metrics JSON holds (docs/metrics.md)."""
    fitted: Fitted | None = None
    """What was fitted on the calibration set, to be applied to new predictions; None without one."""

    def __repr__(self) -> str:
        return f"Evaluation({self.metrics.in_a_line})"

    def to_frame(self) -> "pd.DataFrame":
        """Return a pandas table of one row an example, with the columns of `uncertainty/NAME.csv`.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        return frame_of(uncertainty_columns(self.predictions, self.uncertainty))


def evaluate(
    predictions: Predictions | None = None,
    *,
    probs: ArrayLike | None = None,
    logits: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    ids: ArrayLike | None = None,
    calibration: Predictions | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Evaluation:
    """Evaluate one set, of predictions or of arrays: `evaluate(probs=probs, labels=labels)`.

    Args:
        predictions: what every member said.
        probs: in place of predictions, probabilities [M, N, C], [N, C] of one member, or [N]: P(class 1) of two.
        logits: or unnormalised log-probabilities, [M, N, C] or [N, C].
        labels: of arrays, class numbers [N], -1 or NaN where unknown; none without.
        ids: of arrays, the examples' names [N]; counted from 0 without.
        calibration: as of `evaluate_sets`.
        draws: bootstrap draws for the intervals; 0 for none.
        seed: of every random choice.

    Raises:
        ConfigError: not exactly one of predictions, probs and logits is given, or labels or ids beside predictions.
        DataError: a value or a shape is not what it must be; or as `evaluate_sets`.
    """
    arrays = {"probs": probs, "logits": logits, "labels": labels, "ids": ids}
    given = [name for name, array in arrays.items() if array is not None]
    if predictions is None:
        if ("probs" in given) == ("logits" in given):
            found = "both probs and logits" if "probs" in given else "none of them"
            raise ConfigError(f"evaluate takes predictions, probs=... or logits=..., and got {found}; give one")
        predictions = Predictions.from_arrays(logits=logits, probs=probs, labels=labels, ids=ids)
    elif given:
        raise ConfigError(f"evaluate got predictions and {', '.join(given)}=... too; give predictions alone or arrays")
    check_is_predictions(predictions, "evaluate")
    if calibration is not None:
        check_is_predictions(calibration, "calibration")
    return evaluate_sets({VALIDATION: predictions}, calibration=calibration, draws=draws, seed=seed)[VALIDATION]


def evaluate_sets(
    sets: Mapping[str, Predictions],
    *,
    calibration: Predictions | None = None,
    compared: bool = True,
    shifted: Collection[str] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Evaluation]:
    """Evaluate a set in distribution, and any number of others against it.

    Quality is measured on the labelled examples, uncertainty on all. Sets do not depend on each other but for
    what is said of shifts and the common axis of the histograms, and no number depends on the order of examples or
    members: random draws follow the order of `predictions.ordering`.

    Args:
        sets: what every member said, by the sets' names; the first is the one in distribution.
        calibration: predictions of other examples of its kind, to which temperatures and conformal thresholds
            are fitted, and by which a score is chosen; without them that is absent.
        compared: whether the other sets are compared with the first.
        shifted: which of them are declared to be shifted; all by default.
        draws: bootstrap draws for the intervals; 0 for none.
        seed: of the bootstrap and of every other random choice.

    Raises:
        ConfigError: draws or seed are no whole number of at least 0.
        DataError: the sets differ in their number of classes; other members predicted them, or the calibration set;
            that has no label, or all of its examples are among the test's.
    """
    check_resampling(draws=draws, seed=seed)
    check_none_was_trained_on(sets)
    check_go_together(sets, calibration=calibration, compared=compared)
    given, ordered = sets, {name: in_order(predictions) for name, predictions in sets.items()}
    sets = {name: predictions for name, (predictions, _) in ordered.items()}
    calibration = None if calibration is None else in_order(calibration)[0]
    fits = {} if calibration is None else _fit(sets, calibration, draws=draws, seed=seed)
    measured = {name: Measured.of(predictions) for name, predictions in sets.items()}
    axes = histogram_axes(list(measured.values()))
    main, *others = sets
    evaluations, numbers = dict[str, Evaluation](), dict[str, LabelledNumbers | None]()
    for name, each in measured.items():
        fitted = fits.get(name)
        metrics = unlabelled_metrics(name, each, axes, draws=draws, seed=seed)
        metrics, numbers[name] = _measure_labelled(metrics, each, fitted, draws=draws, seed=seed)
        if name == main:
            metrics = replace(metrics, role="main", other_sets=tuple(others))
            metrics = replace(metrics, examples=examples_to_read(each), scatter=uncertainty_scatter(each))
        elif compared:
            metrics = replace(metrics, role="shifted" if shifted is None or name in shifted else "other")
            reference = (main, measured[main], numbers[main])
            metrics = beside_reference(metrics, each, numbers[name], reference=reference, draws=draws, seed=seed)
        rows = 0 if fitted is None else fitted.calibration.n
        evaluations[name] = Evaluation(
            predictions=given[name],
            uncertainty=each.uncertainty.take(np.argsort(ordered[name][1])),
            metrics=with_protocol(metrics, known_of_predictions(given[name], calibration_rows=rows)),
            fitted=fitted,
        )
    concluded = conclude({name: each.metrics for name, each in evaluations.items()}, measured)
    return {name: replace(each, metrics=concluded[name]) for name, each in evaluations.items()}


def _fit(sets: Mapping[str, Predictions], calibration: Predictions, *, draws: int, seed: int) -> dict[str, Fitted]:
    """Return what is fitted on the calibration set, by the sets it holds for: one object for all of the same members.

    Examples of the first set are left out of the calibration set; another set that shares examples with it has none.
    """
    calibration = without_test_examples(calibration, sets[next(iter(sets))])
    fits: dict[tuple[MemberId, ...], Fitted] = {}
    apart = apart_from_calibration(sets, calibration)
    for name in apart:
        members = sets[name].members
        if members not in fits:
            own = of_members(calibration, members, name="the calibration set", others="the test set")
            fits[members] = fit_decisions(
                own, name=name_of_calibration(own), rng=np.random.default_rng(seed), draws=draws, seed=seed
            )
    return {name: fits[sets[name].members] for name in apart}


def _measure_labelled(
    metrics: SetMetrics, measured: Measured, fitted: Fitted | None, *, draws: int, seed: int
) -> tuple[SetMetrics, LabelledNumbers | None]:
    """Return the metrics with all that the labels of a set say, and the numbers behind them, if there are labels."""
    if not measured.n:
        return metrics, None
    decisions = None
    if fitted is not None:
        rng = np.random.default_rng(seed)
        rng.random(fitted.calibration.n)  # what the fit has drawn, so that no example draws the same again
        decisions = fitted.apply(of_labelled(measured.predictions), rng=rng, drawn_N=np.arange(measured.n))
    calibrated = {} if decisions is None else decisions.log_probs_NC
    numbers = resample_labelled(measured, calibrated, draws=draws, seed=seed)
    metrics = with_labels(metrics, measured, numbers, draws=draws, seed=seed)
    if fitted is not None and decisions is not None:
        metrics = with_decisions(metrics, measured, numbers, fitted=fitted, decisions=decisions, draws=draws, seed=seed)
    return metrics, numbers

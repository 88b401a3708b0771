"""What a clean calibration split buys: temperatures and conformal sets, measured on other examples."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ensemble_uq_llm.evaluation.decisions import conformal
from ensemble_uq_llm.evaluation.decisions.temperature import CalibratedLogProbs, calibrate
from ensemble_uq_llm.evaluation.measured import Measured
from ensemble_uq_llm.evaluation.predictions.record import Predictions
from ensemble_uq_llm.evaluation.statistics.bootstrap import DRAWS
from ensemble_uq_llm.evaluation.uncertainty import measure_uncertainty


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """A calibration split: predictions of labelled examples that are not evaluated."""

    name: str
    """What it is called in the metrics JSON."""
    predictions: Predictions

    def as_json(self) -> dict[str, Any]:
        """Return its name and size."""
        return {"name": self.name, "n": int(self.predictions.labelled_N.sum())}

    def temperatures(self, measured: Measured) -> dict[str, CalibratedLogProbs]:
        """Return the calibrated log-probabilities of a set's labelled examples, by where the temperature is applied."""
        known_N = measured.predictions.labelled_N
        calibrated = calibrate(measured.predictions, self.predictions)
        return {
            where: CalibratedLogProbs(
                log_probs_NC=each.log_probs_NC[known_N], temperatures=each.temperatures, members=each.members
            )
            for where, each in calibrated.items()
        }

    def conformal_sets(self, measured: Measured, *, draws: int = DRAWS, seed: int = 0) -> dict[str, Any]:
        """Return the `conformal` block of a set: every method's sets at every level, on its labelled examples."""
        own = measured.predictions.members
        rows = [self.predictions.members.index(member) for member in own]
        known_N = self.predictions.labelled_N
        fitted = measure_uncertainty(self.predictions.logits_MNC[rows][:, known_N])
        rng = np.random.default_rng(seed)
        rules = conformal.fit(fitted.probs_NC, self.predictions.labels_N[known_N], rng=rng)
        sets_RNC = conformal.include(rules, np.exp(measured.log_probs_NC), rng=rng)
        methods = conformal.measure(rules, sets_RNC, measured.labels_N, draws=draws, seed=seed)
        return {"calibration": self.as_json(), "methods": methods}

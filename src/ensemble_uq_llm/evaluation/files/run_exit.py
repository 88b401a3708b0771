"""How the members of a run are asked in turn, by the predictions of its calibration split."""

from ensemble_uq_llm.evaluation.decisions.decision_rule import DecisionRule
from ensemble_uq_llm.evaluation.decisions.leaving.exit_plan import ExitKind, ExitPlan, plan_exit
from ensemble_uq_llm.predictions.foreign_tables import load_predictions
from ensemble_uq_llm.predictions.freshness import check_fresh
from ensemble_uq_llm.run_folder import CALIBRATION, RunFolder


def exit_of_run(
    folder: RunFolder,
    rule: DecisionRule,
    kind: ExitKind,
    *,
    seeds: tuple[int, ...],
    change_risk: float,
    confidence: float,
) -> ExitPlan:
    """Return how the run's members of these seeds are asked in turn, as `plan_exit` does.

    Raises:
        ConfigError, DataError: as `plan_exit`; or other members have predicted the calibration split.
        IntegrityError: its predictions are not as they were written.
    """
    held_out, calibration = folder.predictions(CALIBRATION), None
    if folder.has(held_out):
        calibration = load_predictions(held_out)
        check_fresh(folder, {CALIBRATION: calibration}, seeds=seeds)
    members = folder.members_of(seeds)
    return plan_exit(kind, rule, members, calibration, change_risk=change_risk, confidence=confidence)

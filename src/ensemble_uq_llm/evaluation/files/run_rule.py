"""The rule by which a run's members answer: its `decision.json`, and one of the certificates in it."""

from ensemble_uq_llm.errors import ConfigError, DataError
from ensemble_uq_llm.evaluation.decisions.abstention.certify import check_promise
from ensemble_uq_llm.evaluation.decisions.decision_rule import DecisionRule
from ensemble_uq_llm.evaluation.decisions.fitted import Fitted
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.utils.text import as_word


def rule_of_run(
    folder: RunFolder, *, target_risk: float | None = None, confidence: float | None = None
) -> DecisionRule:
    """Return by what a run answers at most so many questions wrongly; without a risk it answers all.

    Raises:
        ConfigError: a share is none, or a confidence is given without a risk.
        DataError: there is no certificate for that risk; the message names the command that makes one.
        IntegrityError: `decision.json` is torn, or not of this run.
    """
    if target_risk is not None:
        check_promise(target_risk, 0.9 if confidence is None else confidence)
    elif confidence is not None:
        raise ConfigError(f"--confidence {confidence:g}: is that of a certificate; name its --target-risk, too")
    if not folder.has(folder.decision):
        if target_risk is None:
            return DecisionRule()
        raise DataError(
            f"{folder.root}: has no {folder.decision.name}, so no certificate for a risk of {target_risk:g}; make it "
            f"with `ensemble-uq decide {as_word(folder)} --target-risk {target_risk:g}`"
        )
    fitted = Fitted.read(folder.decision)
    if target_risk is None:
        return DecisionRule(fitted=fitted)
    certificate = fitted.certificate(target_risk, confidence, run=as_word(folder))
    return DecisionRule(fitted=fitted, certificate=certificate)

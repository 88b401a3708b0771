"""EnsembleUQLLM: know what a fine-tuned LLM does not know.

    from ensemble_uq_llm import EnsembleClassifier, Run, evaluate, train

    run = train("config.yaml")               # K LoRA members of one frozen base, trained jointly
    run.predict()                            # every member's logits -> predictions/validation.parquet
    run.evaluate()                           # uncertainty and metrics, from the predictions alone
    run.report()                             # -> report.html
    run = Run("runs/boolq")                  # opens a run again
    answer = run.classifier().predict({"question": ..., "passage": ...})

    evaluation = evaluate(probs=..., labels=...)     # predictions that another system made

Evaluating, comparing and reporting need no torch. Errors are those of `ensemble_uq_llm.errors`. The names are loaded
when they are first used, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ensemble_uq_llm.comparing.runs_to_compare import compare_runs
    from ensemble_uq_llm.config import Config
    from ensemble_uq_llm.config_file import load_config
    from ensemble_uq_llm.evaluation.comparison import compare_predictions
    from ensemble_uq_llm.evaluation.evaluate import Evaluation, evaluate
    from ensemble_uq_llm.evaluation.files.evaluate_files import evaluate_files, evaluate_run
    from ensemble_uq_llm.evaluation.records import SetMetrics
    from ensemble_uq_llm.evaluation.uncertainty import Uncertainty
    from ensemble_uq_llm.inference.classifier import EnsembleClassifier, Prediction
    from ensemble_uq_llm.member import MemberId
    from ensemble_uq_llm.predictions.foreign_tables import load_predictions
    from ensemble_uq_llm.predictions.parquet import write_predictions
    from ensemble_uq_llm.predictions.record import Predictions
    from ensemble_uq_llm.report.page import write_report
    from ensemble_uq_llm.run import Run, compare, predict, train

__version__: Final = "0.1.0"

__all__ = [
    "Config",
    "EnsembleClassifier",
    "Evaluation",
    "MemberId",
    "Prediction",
    "Predictions",
    "Run",
    "SetMetrics",
    "Uncertainty",
    "__version__",
    "compare",
    "compare_predictions",
    "compare_runs",
    "evaluate",
    "evaluate_files",
    "evaluate_run",
    "load_config",
    "load_predictions",
    "predict",
    "train",
    "write_predictions",
    "write_report",
]

_HOMES: Final = {
    "Config": "config",
    "EnsembleClassifier": "inference.classifier",
    "Evaluation": "evaluation.evaluate",
    "MemberId": "member",
    "Prediction": "inference.classifier",
    "Predictions": "predictions.record",
    "Run": "run",
    "SetMetrics": "evaluation.records",
    "Uncertainty": "evaluation.uncertainty",
    "compare": "run",
    "compare_predictions": "evaluation.comparison",
    "compare_runs": "comparing.runs_to_compare",
    "evaluate": "evaluation.evaluate",
    "evaluate_files": "evaluation.files.evaluate_files",
    "evaluate_run": "evaluation.files.evaluate_files",
    "load_config": "config_file",
    "load_predictions": "predictions.foreign_tables",
    "predict": "run",
    "train": "run",
    "write_predictions": "predictions.parquet",
    "write_report": "report.page",
}
"""The module of every public name."""


def __getattr__(name: str) -> Any:
    """Load a public name from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    """Show the public names, loaded or not."""
    return __all__

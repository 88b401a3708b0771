"""EnsembleUQLLM: know what a fine-tuned LLM does not know.

    from ensemble_uq_llm import EnsembleClassifier, evaluate_run, load_config, predict, train, write_report

    config = load_config("configs/llama_config.yaml", ["num_ensemble_models=5"])
    run = train(config)                      # K LoRA members of one frozen base, in one pass
    predict(config)                          # every member's logits -> predictions/validation.parquet
    evaluations = evaluate_run(run)          # uncertainty and metrics, from the predictions alone
    write_report(run)                        # -> report.html
    answer = EnsembleClassifier.from_pretrained(run.root).predict([{"question": ..., "passage": ...}])

The names are loaded when they are first used, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

__version__: Final = "0.1.0"

if TYPE_CHECKING:
    from ensemble_uq_llm.config import Config
    from ensemble_uq_llm.config_file import load_config
    from ensemble_uq_llm.evaluation.comparison import compare_predictions
    from ensemble_uq_llm.evaluation.evaluate import evaluate, evaluate_files, evaluate_run
    from ensemble_uq_llm.evaluation.predictions.foreign_tables import load_predictions
    from ensemble_uq_llm.evaluation.predictions.record import Predictions
    from ensemble_uq_llm.inference.classifier import EnsembleClassifier, Prediction
    from ensemble_uq_llm.pipeline import predict
    from ensemble_uq_llm.report.page import write_report
    from ensemble_uq_llm.training.loop import train

__all__ = [
    "Config",
    "EnsembleClassifier",
    "Prediction",
    "Predictions",
    "compare_predictions",
    "evaluate",
    "evaluate_files",
    "evaluate_run",
    "load_config",
    "load_predictions",
    "predict",
    "train",
    "write_report",
]

_HOMES = {
    "Config": "config",
    "EnsembleClassifier": "inference.classifier",
    "Prediction": "inference.classifier",
    "Predictions": "evaluation.predictions.record",
    "compare_predictions": "evaluation.comparison",
    "evaluate": "evaluation.evaluate",
    "evaluate_files": "evaluation.evaluate",
    "evaluate_run": "evaluation.evaluate",
    "load_config": "config_file",
    "load_predictions": "evaluation.predictions.foreign_tables",
    "predict": "pipeline",
    "train": "training.loop",
    "write_report": "report.page",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

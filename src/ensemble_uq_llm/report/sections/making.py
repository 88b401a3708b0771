"""How it was made: learning curves, commands, versions, digests of the data, and the configuration."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from statistics import fmean
from typing import Any

from ensemble_uq_llm.report.figures.learning_curves import LearningCurve, learning_figure
from ensemble_uq_llm.report.figures.svg import Figure
from ensemble_uq_llm.report.source import ReportSource
from ensemble_uq_llm.report.training_log import MemberLog

_POINTS = 60
"""Points of a learning curve at most."""

_NAMES = ("stage", "name")
"""What a stage of the run is called by: what was done, and to which set."""


@dataclass(frozen=True, kw_only=True)
class Making:
    """How the members learned, and facts as pairs of a key and its value."""

    learning: Sequence[Figure]
    """Empty where the members were not trained here."""
    steps: int
    """How many optimiser steps a point of the first figure is the mean of."""
    stages: Sequence[tuple[str, Sequence[tuple[str, str]]]]
    """The stages of the run by their titles."""
    record: Sequence[tuple[str, str]]
    settings: Sequence[tuple[str, str]]


def making(source: ReportSource) -> Making | None:
    """Return learning curves, stages of the run, the rest of its record, and its configuration, if they are there."""
    stages = source.record.get("stages", [])
    record = {key: value for key, value in source.record.items() if key not in ("stages", "base_files")}
    settings = source.config.model_dump(mode="json") if source.config else {}
    if not (stages or record or settings or source.training):
        return None
    return Making(
        learning=list(_learning(source.training)),
        steps=_window(source.training),
        stages=[(_title(stage), list(_flat(_facts(stage)))) for stage in stages],
        record=list(_flat(record)),
        settings=list(_flat(settings)),
    )


def _learning(training: Mapping[int, MemberLog]) -> Iterator[Figure]:
    """Yield the loss in training by step, and on validation data by epoch where it was measured."""
    if training:
        window = _window(training)
        curves = [
            LearningCurve(name=f"seed {seed}", losses=_smoothed(log.losses, window), diverged=log.diverged)
            for seed, log in training.items()
        ]
        yield learning_figure(curves, title="Loss in training", over="optimiser step")
    validated = {seed: log for seed, log in training.items() if log.validation_losses}
    if validated:
        curves = [
            LearningCurve(name=f"seed {seed}", losses=list(log.validation_losses.items()), diverged=log.diverged)
            for seed, log in validated.items()
        ]
        yield learning_figure(curves, title="Loss on validation data", over="epoch")


def _window(training: Mapping[int, MemberLog]) -> int:
    """Return how many steps are drawn as one point, the same for all members."""
    return ceil(max((max(log.losses) for log in training.values()), default=1) / _POINTS)


def _smoothed(losses: Mapping[int, float], window: int) -> list[tuple[float, float]]:
    """Return the mean of each window of steps, at their mean; a step's own batch is small and its loss noisy."""
    windows: dict[int, list[int]] = {}
    last = max(max(losses) // window - 1, 0)  # what is left over after the full windows joins the last of them
    for step in losses:
        windows.setdefault(min((step - 1) // window, last), []).append(step)
    return [(fmean(steps), fmean(losses[step] for step in steps)) for steps in windows.values()]


def _title(stage: Mapping[str, Any]) -> str:
    return " ".join(str(stage[key]) for key in _NAMES if key in stage)


def _facts(stage: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in stage.items() if key not in _NAMES}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _shown(value)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(part) for part in value)
    return "null" if value is None else str(value)

"""How it was made: commands, versions, digests of the data, and the configuration."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ensemble_uq_llm.report.source import ReportSource

_NAMES = ("stage", "name")
"""What a stage of the run is called by: what was done, and to which set."""


@dataclass(frozen=True, kw_only=True)
class Making:
    """Facts as pairs of a key and its value."""

    stages: Sequence[tuple[str, Sequence[tuple[str, str]]]]
    """The stages of the run by their titles."""
    record: Sequence[tuple[str, str]]
    settings: Sequence[tuple[str, str]]


def making(source: ReportSource) -> Making | None:
    """Return the stages of the run, the rest of its record, and its configuration, as far as they are there."""
    stages = source.record.get("stages", [])
    record = {key: value for key, value in source.record.items() if key != "stages"}
    settings = source.config.model_dump(mode="json") if source.config else {}
    if not (stages or record or settings):
        return None
    return Making(
        stages=[(_title(stage), list(_flat(_facts(stage)))) for stage in stages],
        record=list(_flat(record)),
        settings=list(_flat(settings)),
    )


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

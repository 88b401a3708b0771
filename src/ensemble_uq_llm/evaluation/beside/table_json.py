"""A table of several runs as plain values for programs."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import TypeAdapter

from ensemble_uq_llm.evaluation.records import RunsBeside

_ADAPTER: Final = TypeAdapter(RunsBeside)


def table_json(table: RunsBeside) -> dict[str, Any]:
    """Return a table as plain values, None where undefined.

    Keys are those of `RunsBeside`; of a run `facts`, `calibration_rows`, `metrics`, `one_member`, `differences`,
    `cautions`, `protocol`, and the fields in which that differs from the baseline's, or that are known of one only.
    """
    content: dict[str, Any] = _ADAPTER.dump_python(table, mode="json")
    content["runs"] = [_run(each) for each in content["runs"]]
    return content


def _run(run: dict[str, Any]) -> dict[str, Any]:
    beside = run.pop("protocols")
    run["protocol"] = {key: value for key, value in beside["b"].items() if value is not None and value != []}
    run |= {key: beside[key] for key in ("differs_in", "known_of_one")}
    run["metrics"] = {name: _bare(each) for name, each in run["metrics"].items()}
    return run


def _bare(estimate: Mapping[str, Any]) -> dict[str, Any]:
    """Return an estimate without what it does not have."""
    bare = {key: value for key, value in estimate.items() if value or key in ("value", "ci95")}
    return {key: _bare(value) if key == "debiased" else value for key, value in bare.items()}

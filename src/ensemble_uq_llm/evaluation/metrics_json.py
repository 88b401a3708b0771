"""The metrics JSON: the only module that writes and reads it.

The file holds a `SetMetrics` record and `schema_version`. What has its default is left out, so a block that does not
apply is absent.
"""

from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from ensemble_uq_llm.evaluation.records import SetMetrics
from ensemble_uq_llm.evaluation.versioned_json import VersionedJson

SCHEMA_VERSION: Final = 2
"""Files without a version are of the first schema, in which members were seeds."""

_FORM: Final = VersionedJson(
    adapter=TypeAdapter(SetMetrics),
    version=SCHEMA_VERSION,
    remedy="evaluate the run again (`ensemble-uq evaluate`) to write it anew",
)


def as_json(metrics: SetMetrics) -> dict[str, Any]:
    """Return the content of the file as plain values."""
    return _FORM.as_json(metrics)


def write_metrics(path: Path, metrics: SetMetrics) -> None:
    """Write a metrics JSON, whole or not at all; a number that is not finite raises ValueError."""
    _FORM.write(path, metrics)


def read_metrics(path: Path) -> SetMetrics:
    """Read a metrics JSON.

    Raises:
        IntegrityError: the file is missing, torn, of another schema, or no metrics; the message says what to do.
    """
    return _FORM.read(path)

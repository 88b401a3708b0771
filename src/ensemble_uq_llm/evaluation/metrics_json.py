"""The metrics JSON: the only module that writes and reads it.

The file holds a `SetMetrics` record and `schema_version`. What has its default is left out, so a block that does not
apply is absent.
"""

import json
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from ensemble_uq_llm.errors import IntegrityError
from ensemble_uq_llm.evaluation.records import SetMetrics
from ensemble_uq_llm.utils.files import write_json

SCHEMA_VERSION: Final = 2
"""Files without a version are of the first schema, in which members were seeds."""

_ADAPTER: Final = TypeAdapter(SetMetrics)
_REMEDY: Final = "evaluate the run again (`ensemble-uq evaluate`) to write it anew"


def as_json(metrics: SetMetrics) -> dict[str, Any]:
    """Return the content of the file as plain values."""
    return {"schema_version": SCHEMA_VERSION, **_ADAPTER.dump_python(metrics, mode="json", exclude_defaults=True)}


def write_metrics(path: Path, metrics: SetMetrics) -> None:
    """Write a metrics JSON, whole or not at all; a number that is not finite raises ValueError."""
    write_json(path, as_json(metrics))


def read_metrics(path: Path) -> SetMetrics:
    """Read a metrics JSON.

    Raises:
        IntegrityError: the file is missing, torn, of another schema, or no metrics; the message says what to do.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise IntegrityError(f"{path}: there is no such file; {_REMEDY}") from None
    except ValueError as error:
        raise IntegrityError(f"{path}: this is no JSON ({error}); {_REMEDY}") from error
    if not isinstance(content, dict):
        raise IntegrityError(f"{path}: this is no JSON object; {_REMEDY}")
    version = content.pop("schema_version", 1)
    if version != SCHEMA_VERSION:
        raise IntegrityError(
            f"{path}: schema_version is {version!r}, and this version reads {SCHEMA_VERSION}; {_REMEDY}"
        )
    try:
        return _ADAPTER.validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise IntegrityError(f"{path}: {place}: {first['msg']}; {_REMEDY}") from error

"""The metrics JSON: the only module that writes and reads it.

The file holds a `SetMetrics` record and `schema_version`. What has its default is left out, so a block that does not
apply is absent.
"""

import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from ensemble_uq_llm.errors import IntegrityError
from ensemble_uq_llm.evaluation.files.versioned_json import VersionedJson
from ensemble_uq_llm.evaluation.records import SetMetrics
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.storage.change import Change

SCHEMA_VERSION: Final = 3
"""Files without a version are of the first schema; what changed from each to the next is told in docs/metrics.md."""

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


def make_room(folder: RunFolder, names: Collection[str], change: Change) -> None:
    """Remove what an earlier evaluation with other sets left in a folder: it holds one evaluation, with one main set.

    Where the main set was another, the report of it goes too, and a warning says what is replaced. Metrics that cannot
    be read are left alone.

    Args:
        folder: where an evaluation is about to be written.
        names: its sets, the main one first.
        change: the change that it is part of.
    """
    main, replaced = next(iter(names)), ""
    for path in folder.evaluated():
        try:
            metrics = read_metrics(path)
        except IntegrityError:
            continue
        if metrics.role == "main" and metrics.name != main:
            replaced = metrics.name
        if path.stem not in names:
            change.remove(path, folder.uncertainty(path.stem), folder.scores(path.stem))
    if replaced:
        change.remove(folder.report)
        warnings.warn(f"{folder.root}: the evaluation of {replaced!r} there is replaced by {main!r}", stacklevel=4)


def read_metrics(path: Path) -> SetMetrics:
    """Read a metrics JSON.

    Raises:
        IntegrityError: the file is missing, torn, of another schema, or no metrics; the message says what to do.
    """
    return _FORM.read(path)

"""The members that samples were made of, where they are still there: do they have the weights that they had then."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from ensemble_uq_llm.errors import StorageError
from ensemble_uq_llm.run_folder import MEMBER_WEIGHTS
from ensemble_uq_llm.storage.failures import naming_failures
from ensemble_uq_llm.utils.files import sha256_of
from ensemble_uq_llm.utils.text import clipped, first_line
from ensemble_uq_llm.verification.audit import Audit

_TOLD: Final = ("folder", "weights_sha256")


def check_parents(records: Iterable[Mapping[str, Any]], into: Audit) -> None:
    """Check the parents' weights against the lineage in the samples' records; say of those that are gone that they are.

    Samples have weights of their own, so a parent that is gone or altered leaves them as they are.
    """
    for folder, digest in sorted(set(_parents(records))):
        weights = Path(folder) / MEMBER_WEIGHTS
        try:
            with naming_failures(weights, "read"):
                if not weights.is_file():
                    into.unchecked.append(f"the parent {clipped(folder)}: it is not there any more")
                    continue
                into.checking("parent")
                found = sha256_of(weights)
        except StorageError as error:
            into.unchecked.append(f"the parent {clipped(folder)}: {first_line(error)}")
            continue
        if found != digest:
            into.found(
                str(weights),
                "not the weights any more that the samples here were made of; restore them, or make samples of "
                "those in another folder (ensemble-uq posterior RUN --output NEW)",
            )


def _parents(records: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, str]]:
    for record in records:
        parent = record.get("parent")
        folder, digest = (parent.get(key) for key in _TOLD) if isinstance(parent, dict) else (None, None)
        if isinstance(folder, str) and isinstance(digest, str):
            yield folder, digest

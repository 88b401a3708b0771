"""Typed records as JSON files that say by which schema they were written."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from ensemble_uq_llm.errors import IntegrityError
from ensemble_uq_llm.utils.files import read_object, write_json

Record = TypeVar("Record")


@dataclass(frozen=True, kw_only=True)
class VersionedJson(Generic[Record]):
    """The form of one kind of file: its record, and the version of its schema.

    What has its default is left out, so that a part that does not apply is absent.
    """

    adapter: TypeAdapter[Record]
    version: int
    """Files without a version are of the first."""
    remedy: str
    """What to do about a file that cannot be used."""

    def as_json(self, record: Record) -> dict[str, Any]:
        """Return the content of a file as plain values."""
        content = self.adapter.dump_python(record, mode="json", exclude_defaults=True)
        return {"schema_version": self.version, **content}

    def write(self, path: Path, record: Record) -> None:
        """Write a file, whole or not at all; a number that is not finite raises ValueError."""
        write_json(path, self.as_json(record))

    def read(self, path: Path) -> Record:
        """Read a file.

        Raises:
            IntegrityError: it is missing, torn, of another schema, or no such record; the message says what to do.
        """
        content = read_object(path, remedy=self.remedy)
        version = content.pop("schema_version", 1)
        if version != self.version:
            raise IntegrityError(
                f"{path}: schema_version is {version!r}, and this version reads {self.version}; {self.remedy}"
            )
        try:
            return self.adapter.validate_python(content)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise IntegrityError(f"{path}: {place}: {first['msg']}; {self.remedy}") from error

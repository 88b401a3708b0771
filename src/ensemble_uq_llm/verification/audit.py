"""What a verification found, what it checked, and what it could not check."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ensemble_uq_llm.errors import EnsembleUQError
from ensemble_uq_llm.utils.text import counted, first_line


@dataclass(kw_only=True)
class Audit:
    """The findings about a folder, as they come."""

    folder: Path
    findings: dict[str, list[str]] = field(default_factory=dict)
    """What is wrong, by file: a path in the folder, or one elsewhere."""
    checked: Counter[str] = field(default_factory=Counter)
    """How many of each kind of thing were checked, sound or not."""
    unchecked: list[str] = field(default_factory=list)
    """What could not be checked, and why."""

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    def found(self, path: str, what: str) -> None:
        """Note what is wrong with a file."""
        if what not in self.findings.setdefault(path, []):
            self.findings[path].append(what)

    def noting(self, path: Path, what: str) -> None:
        """Note what is wrong with a file of the folder, or nothing where the text is empty."""
        if what:
            self.found(path.relative_to(self.folder).as_posix(), what)

    def checking(self, kind: str) -> None:
        """Count one more thing of a kind, whose name is in the singular, as checked."""
        self.checked[kind] += 1

    @contextmanager
    def noting_errors(self, path: str) -> Iterator[None]:
        """Within it an error of the user's becomes a finding about a file."""
        try:
            yield
        except EnsembleUQError as error:
            self.found(path, first_line(error).removeprefix(f"{self.folder / path}: "))

    def lines(self) -> list[str]:
        """Return the findings, one a line."""
        return [f"{path}: {what}" for path, several in sorted(self.findings.items()) for what in several]

    def summary(self) -> str:
        """Return what was checked, as a sentence lists it."""
        return ", ".join(counted(number, kind) for kind, number in self.checked.items()) or "nothing"

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        findings = [(path, what) for path, several in sorted(self.findings.items()) for what in several]
        return {
            "folder": str(self.folder),
            "sound": self.is_sound,
            "findings": [{"file": path, "finding": what} for path, what in findings],
            "checked": dict(self.checked),
            "not_checked": self.unchecked,
        }

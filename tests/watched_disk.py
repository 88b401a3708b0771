"""Every call that a process makes to the file system below some folders: told before it is made, and after.

Python's own files go through these calls too, and so do those of the libraries that write by themselves: within
`watching` their bytes are written by Python. What a call can be made to do is the watcher's: refuse, or note.
"""

import _pyio
import builtins
import contextlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet
import safetensors.torch

from ensemble_uq_llm.models.lora import peft_folder
from ensemble_uq_llm.training.keeping import checkpoints

WRITING = (
    "open", "write", "pwrite", "truncate", "fsync", "close", "chmod", "mkdir", "rmdir", "unlink", "remove", "rename",
    "replace", "utime",
)  # fmt: skip
READING = ("read", "pread", "listdir", "scandir")


@dataclass(frozen=True)
class Call:
    """A call below the watched folders: its name, the path that it is about, and what it was given."""

    name: str
    path: str
    arguments: tuple[Any, ...]
    descriptor: int | None = None
    writes: bool = True
    """Whether a file that it opens, or that it is about, was opened to be written."""


class Watcher:
    """What is told of the calls; each method may raise OSError, and `before` may do the call itself."""

    def before(self, call: Call, make: Callable[..., Any]) -> None:
        """A call is about to be made; `make` makes it with other arguments."""

    def after(self, call: Call, result: Any) -> None:
        """A call was made."""


class _Patched:
    def __init__(self, watcher: Watcher, roots: Sequence[Path]) -> None:
        self._watcher, self._roots = watcher, [str(root.resolve()) for root in roots]
        self._open: dict[int, tuple[str, bool]] = {}
        self.files_open = io.open

    def call(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def watched(first: Any, *rest: Any, **named: Any) -> Any:
            path, writes = self._place(name, first, rest, named)
            if path is None:
                return original(first, *rest, **named)
            descriptor = first if isinstance(first, int) else None
            call = Call(name, path, (first, *rest), descriptor, writes)
            if name == "close":  # the system frees the descriptor whatever it says of the data
                self._open.pop(first, None)
                original(first)
                self._watcher.before(call, original)
                result = None
            else:
                self._watcher.before(call, original)
                result = original(first, *rest, **named)
            if name == "open":
                call = Call(name, path, (first, *rest), result, writes)
                self._open[result] = (path, writes)
            self._watcher.after(call, result)
            return result

        return watched

    def open(self, file: Any, mode: str = "r", buffering: int = -1, encoding: Any = None, errors: Any = None,
             newline: Any = None, closefd: bool = True, opener: Any = None) -> Any:  # fmt: skip
        watched = not isinstance(file, int) and opener is None and self._below(file)
        chosen = _pyio.open if watched else self.files_open
        if watched and "b" not in mode and encoding is None:
            encoding = "utf-8"
        return chosen(file, mode, buffering, encoding, errors, newline, closefd, opener)

    def _place(self, name: str, first: Any, rest: tuple[Any, ...], named: dict[str, Any]) -> tuple[str | None, bool]:
        if isinstance(first, int):
            return self._open.get(first, (None, False))
        path = os.fspath(first) if first is not None else "."
        if isinstance(path, bytes) or (name in ("utime",)):
            return None, False
        if (folder := named.get("dir_fd", named.get("src_dir_fd"))) is not None:
            path = f"{self._open.get(folder, ('/', False))[0]}/{path}"
        writes = name != "open" or bool(rest[0] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        return (str(Path(path).absolute()) if self._below(path) else None), writes

    def _below(self, path: Any) -> bool:
        absolute = str(Path(path).absolute())
        return any(absolute == root or absolute.startswith(root + "/") for root in self._roots)


@contextlib.contextmanager
def watching(watcher: Watcher, *roots: Path, calls: Sequence[str] = (*WRITING, *READING)) -> Iterator[None]:
    """Within it the watcher is told of every call below the roots."""
    patched = _Patched(watcher, roots)
    originals = {name: getattr(os, name) for name in calls}
    with contextlib.ExitStack() as stack:

        def put(owner: Any, name: str, value: Any) -> None:
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)

        for name, original in originals.items():
            put(os, name, patched.call(name, original))
        put(io, "open", patched.open)
        put(builtins, "open", patched.open)
        put(pyarrow.parquet, "write_table", _write_table(pyarrow.parquet.write_table))
        for module in (checkpoints, peft_folder):
            put(module, "save_file", _save_file)
        yield


def _save_file(tensors: Any, path: Path, metadata: Any = None) -> None:
    with path.open("wb") as stream:
        stream.write(safetensors.torch.save(tensors, metadata=metadata))


def _write_table(original: Callable[..., None]) -> Callable[..., None]:
    def write(table: Any, path: Path) -> None:
        content = io.BytesIO()
        original(table, content)
        with path.open("wb") as stream:
            stream.write(content.getvalue())

    return write

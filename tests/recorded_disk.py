"""What a disk holds at every instant of a program: when it is killed there, and when the power fails there.

The calls are noted as they are made, in a model of the folder that knows what was flushed. A kill leaves what was
written. A power failure leaves at least what was flushed, and of the rest anything: two extremes of that are kept, the
names of files without their content, and nothing at all.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from watched_disk import Call, Watcher

Tree: TypeAlias = dict[str, bytes | None]
"""The content of files by their paths in the folder; None is a folder."""

KILLED, NAMES_ONLY, FLUSHED_ONLY = "killed", "names only", "flushed only"


@dataclass(eq=False)
class _File:
    content: bytearray = field(default_factory=bytearray)
    flushed: bytes = b""


@dataclass(eq=False)
class _Folder:
    entries: dict[str, "_File | _Folder"] = field(default_factory=dict)
    flushed: dict[str, "_File | _Folder"] = field(default_factory=dict)


class Recorder(Watcher):
    """Notes the states of a folder by how they come about; equal ones in a row once, with the calls before each."""

    def __init__(self, root: Path) -> None:
        self._root, self._open = root.resolve(), dict[int, _File | _Folder]()
        self._top = _of_disk(root)
        self.states: dict[str, list[tuple[int, Tree]]] = {KILLED: [], NAMES_ONLY: [], FLUSHED_ONLY: []}
        self.calls = 0
        self._note()

    def before(self, call: Call, make: Callable[..., Any]) -> None:
        """Before a write ends, half of it may be there."""
        if call.name == "write" and len(call.arguments[1]) > 1:
            file = self._open[call.descriptor or 0]
            assert isinstance(file, _File)
            whole = bytes(file.content)
            file.content += bytes(call.arguments[1])[: len(call.arguments[1]) // 2]
            self._note()
            file.content[:] = whole

    def after(self, call: Call, result: Any) -> None:
        """Note what a call has changed."""
        self.calls += 1
        match call.name:
            case "open":
                self._opened(call, result)
            case "write" | "pwrite":
                file = self._open[call.descriptor or 0]
                data = bytes(call.arguments[1])[:result]
                end = call.arguments[2] + result if call.name == "pwrite" else os.lseek(call.descriptor or 0, 0, 1)
                assert isinstance(file, _File)
                file.content[end - result : end] = data
            case "truncate":
                file = self._open[call.descriptor or 0]
                assert isinstance(file, _File)
                del file.content[call.arguments[1] :]
            case "fsync":
                node = self._open[call.descriptor or 0]
                if isinstance(node, _File):
                    node.flushed = bytes(node.content)
                else:
                    node.flushed = dict(node.entries)
            case "mkdir":
                folder, name = self._place(call.path)
                folder.entries[name] = _Folder()
            case "rmdir" | "unlink" | "remove":
                folder, name = self._place(call.path)
                del folder.entries[name]
            case "rename" | "replace":
                folder, name = self._place(call.path)
                node = folder.entries.pop(name)
                folder, name = self._place(str(Path(call.arguments[1]).absolute()))
                folder.entries[name] = node
        self._note()

    def _opened(self, call: Call, descriptor: int) -> None:
        if call.path == str(self._root):
            self._open[descriptor] = self._top
            return
        folder, name = self._place(call.path)
        if name not in folder.entries:
            folder.entries[name] = _File()
        node = folder.entries[name]
        if call.arguments[1] & os.O_TRUNC and isinstance(node, _File):
            node.content.clear()
        self._open[descriptor] = node

    def _place(self, path: str) -> tuple[_Folder, str]:
        *above, name = Path(path).relative_to(self._root).parts
        folder = self._top
        for each in above:
            inner = folder.entries[each]
            assert isinstance(inner, _Folder)
            folder = inner
        return folder, name

    def _note(self) -> None:
        for kind, names, contents in ((KILLED, "entries", "content"), (NAMES_ONLY, "entries", "flushed"),
                                      (FLUSHED_ONLY, "flushed", "flushed")):  # fmt: skip
            tree = dict(_tree(self._top, "", names, contents))
            if not self.states[kind] or self.states[kind][-1][1] != tree:
                self.states[kind].append((self.calls, tree))


def _tree(folder: _Folder, above: str, names: str, contents: str) -> Iterator[tuple[str, bytes | None]]:
    for name, node in sorted(getattr(folder, names).items()):
        path = f"{above}{name}"
        if isinstance(node, _File):
            yield path, bytes(getattr(node, contents))
        else:
            yield path, None
            yield from _tree(node, f"{path}/", names, contents)


def _of_disk(path: Path) -> _Folder:
    entries = {each.name: _of_disk(each) if each.is_dir() else _file_of_disk(each) for each in path.iterdir()}
    return _Folder(entries, dict(entries))


def _file_of_disk(path: Path) -> _File:
    content = path.read_bytes()
    return _File(bytearray(content), content)


def tree_of(root: Path) -> Tree:
    """Return what a folder holds, as the states are told."""
    return dict(_tree(_of_disk(root), "", "entries", "content"))


def put(tree: Tree, root: Path) -> None:
    """Let a folder hold what a state tells, and nothing else."""
    shutil.rmtree(root)
    root.mkdir()
    for path, content in tree.items():
        if content is None:
            (root / path).mkdir()
        else:
            (root / path).write_bytes(content)

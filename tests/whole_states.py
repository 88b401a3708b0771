"""Is a run folder in a state that it was meant to be in: that before a change, or that after it, and nothing beside."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.storage.manifest import Manifest, parse_manifest, read_manifest
from ensemble_uq_llm.utils.files import sha256_of
from recorded_disk import KILLED, Recorder, Tree, tree_of
from small_commands import command, small_config, stages, without_flushing
from watched_disk import watching

Files: TypeAlias = dict[str, str]
"""The digests that a manifest tells, by path."""


_TIMED = ("run.json", "events.jsonl", "report.html")


@dataclass(frozen=True)
class Scene:
    """A command on the run of a folder, every state that the folder went through, and the last one."""

    name: str
    arguments: list[str]
    recorder: Recorder
    end: Tree


def record_commands(place: Path, base: Path, data: Path, *, again: bool) -> list[Scene]:
    """Record the commands that make `place / "run"`; `again` others that change what these have written."""
    commands = stages(small_config(place.parent, base, data), place / "run")
    if again:
        members = ["--set", "seeds=[42,43,44]"]
        commands |= {f"{name} again": [*commands[name], *members] for name in ("train", "predict")}
        commands |= {"evaluate again": [*commands["evaluate"], "--seed", "1"]}
    return [_record(place, name, arguments) for name, arguments in commands.items()]


def _record(place: Path, name: str, arguments: list[str]) -> Scene:
    recorder = Recorder(place)
    with without_flushing(), watching(recorder, place):
        told = command(*arguments)
    assert told.code == 0, told
    assert recorder.states[KILLED][-1][1] == tree_of(place), "a call has escaped the recorder"
    return Scene(name, arguments, recorder, tree_of(place))


def announced(tree: Tree) -> Files:
    """Return what the run of a state holds once a change that is announced in it is done."""
    manifest = _manifest(tree)
    files = dict(manifest.files)
    if manifest.pending is not None:
        files = {path: each for path, each in files.items() if path not in manifest.pending.removed}
        files |= manifest.pending.files
    return {path: each.sha256 for path, each in files.items()}


def history(scene: Scene) -> list[Files]:
    """Return what the run held, from before the command to its end, each change being one step."""
    found: list[Files] = []
    for _, tree in scene.recorder.states[KILLED]:
        try:
            files = announced(tree)
        except OSError:  # a torn manifest, which whoever opens it finds
            continue
        if not found or files != found[-1]:
            found.append(files)
    return found


def steady(files: Files) -> Files:
    """Return what the run of a command holds whenever the command is run: digests where the clock is in no file."""
    return {path: "" if path in _TIMED else digest for path, digest in files.items()}


def settled(place: Path) -> Files:
    """Open the run as its next owner does, and return what it holds.

    Raises:
        AssertionError: a file is not what the manifest tells, or something is left behind.
    """
    folder = RunFolder(place / "run")
    with folder.owned("look"):
        manifest = read_manifest(folder.root) or Manifest()
        assert manifest.pending is None, "a change is left half done"
    for path, entry in manifest.files.items():
        assert sha256_of(folder.root / path) == entry.sha256, f"{path} is not what the manifest tells"
    assert not (odd := left_behind(place)), f"left behind: {odd}"
    return {path: entry.sha256 for path, entry in manifest.files.items()}


def left_behind(place: Path) -> set[str]:
    """Return the files that neither the manifest nor an unfinished training knows."""
    tree = tree_of(place)
    own = {f"run/{path}" for path in _manifest(tree).files} | {"run/manifest.json", "run/events.jsonl"}
    return {path for path, content in tree.items() if content is not None and "/checkpoints/" not in path} - own


def agreed(tree: Tree, *, log: bool) -> dict[str, Any]:
    """Return what two runs agree in: everything but times, and how often each was begun."""
    found: dict[str, Any] = dict(tree)
    for path in ("run/run.json", "run/manifest.json", "run/events.jsonl", "run/report.html"):
        found[path] = path in tree
    events = [json.loads(line) for line in (tree.get("run/events.jsonl") or b"").splitlines()]
    if log:
        found["steps"] = [(each["step"], each["losses"]) for each in events if each["event"] == "Stepped"]
    found["known"] = sorted(_manifest(tree).files)
    return found


def _manifest(tree: Tree) -> Manifest:
    content = tree.get("run/manifest.json")
    return Manifest() if content is None else parse_manifest(content, Path("manifest.json"))

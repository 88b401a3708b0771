"""Every file of a finished run is flipped, cut, edited, swapped, replayed, deleted; nothing of it goes unnoticed.

`verify` must find each, and each command that loads the file must refuse it. A case is made in place and undone.
"""

import io
import os
import random
import shutil
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest

from ensemble_uq_llm.cli import main
from ensemble_uq_llm.errors import IntegrityError
from ensemble_uq_llm.evaluation.decisions.fitted import Fitted
from ensemble_uq_llm.predictions.parquet import read_predictions
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.storage.sealed_folder import new_sealed_folder, read_sealed_folder
from ensemble_uq_llm.verification.verify import verify
from recording import recorded

YAML = """\
model_name: "{root}/base"
train_file: "{root}/data.jsonl"
validation_file: "{root}/others.jsonl"
output_dir: "{root}/run"
seeds: [42, 43]
num_epochs: 1
lora_r: 2
batch_size: 8
gradient_accumulation_steps: 1
warmup_steps: 0
bootstrap_draws: 100
calibration_fraction: 0.25
use_bf16: false
device: cpu
"""
CHECKPOINTS = "run/checkpoints/from_seed_44"


@dataclass(kw_only=True)
class Home:
    """A run, the base and the data that it was made from, and what other files of the same names once held."""

    root: Path
    sound: dict[str, bytes] = field(default_factory=dict)
    older: dict[str, bytes] = field(default_factory=dict)
    """The same run before it got its last member."""
    others: dict[str, bytes] = field(default_factory=dict)
    """Another run of the same seeds."""

    @property
    def run(self) -> RunFolder:
        return RunFolder(self.root / "run")

    @property
    def names(self) -> list[str]:
        return sorted(name for name in self.sound if name.startswith(("run/", "base/")))

    def is_tampered(self, name: str) -> bool:
        """Whether a file is not what it was."""
        path = self.root / name
        return path.is_symlink() or not path.is_file() or path.read_bytes() != self.sound[name]

    def restore(self) -> None:
        """Undo whatever a case has done."""
        for path in self.root.rglob("*"):
            if path.is_symlink() or (path.is_file() and path.relative_to(self.root).as_posix() not in self.sound):
                path.unlink()
        for name in filter(self.is_tampered, self.sound):
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_bytes(self.sound[name])


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def call(*words: object) -> tuple[int, str]:
    """Run a command; its exit code, and what it says of errors."""
    said = io.StringIO()
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(said), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            main([str(word) for word in words])
    except SystemExit as stop:
        return int(stop.code or 0), said.getvalue()
    return 0, said.getvalue()


@pytest.fixture(scope="module")
def home(
    finished_run: Path, tiny_base: Path, tiny_data: Path, other_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Home]:
    """Two members and everything that comes of them, then a third one, and everything again; and a checkpoint."""
    root = tmp_path_factory.mktemp("tampering") / "home"
    shutil.copytree(tiny_base, root / "base")
    shutil.copy(tiny_data, root / "data.jsonl")
    shutil.copy(other_data, root / "others.jsonl")
    yaml = root.parent / "tampered.yaml"
    yaml.write_text(YAML.format(root=root))
    made = Home(root=root)
    assert call("run", yaml)[0] == 0
    made.older = contents(root)
    assert call("run", yaml, "--set", "seeds=[42,43,44]")[0] == 0
    for step in (1, 2):
        with new_sealed_folder(root / CHECKPOINTS / f"step_0000000{step}_in_epoch") as folder:
            (folder / "state.json").write_text(f'{{"steps": {step}}}')
            (folder / "state.safetensors").write_bytes(bytes([step]) * 64)
    made.others = {f"run/{name}": content for name, content in contents(finished_run).items()}
    made.sound = contents(root)
    yield made
    shutil.rmtree(root.parent)


def kind_of(name: str) -> str:
    """Return the pattern of LOADERS that a file is of; its name where none is."""
    return next((pattern for pattern in LOADERS if fnmatch(name, pattern)), name)


LOADERS = {
    "base/*": ("predict",),
    "run/seed_*/*.safetensors": ("predict",),
    "run/seed_*/*.json": ("predict", "evaluate"),
    "run/predictions/validation.parquet": ("evaluate", "compare", "report"),
    "run/predictions/calibration.parquet": ("evaluate", "report", "decision"),
    "run/predictions/validation.examples.jsonl": ("report",),
    "run/metrics/*": ("report",),
    "run/events.jsonl": ("report",),
    "run/decision.json": ("decision", "report"),
    "run/run.json": ("predict", "evaluate", "report"),
    "run/config.yaml": ("predict", "evaluate", "report"),
    "run/manifest.json": ("predict", "evaluate", "report", "compare"),
    "run/checkpoints/*": ("checkpoint",),
}
"""The commands that load a file, or what was made from it."""
LET_PASS_WHERE_GONE = {"run/predictions/*.parquet": ("report", "decision"), "run/decision.json": ("report",)}
"""Commands that only check such a file where it is there: what they show was made from it."""
NOBODY = ("",)
"""Of the tables for people, the report, and the texts of the calibration set."""


def refuses(home: Home, command: str, name: str, found: Collection[str]) -> bool:
    """Tell whether a command that loads a tampered file ends with its error, which names one of those `found`."""
    run = home.run.root
    words = {"predict": [run], "evaluate": [run], "report": [run], "compare": [run, run]}
    if command in words:
        code, said = call(command, *words[command])
        is_named = any(Path(each).name in said for each in found)
        is_none = name.startswith("base/") or (name == "run/config.yaml" and not (home.root / name).is_file())
        return is_named and (code == 5 or (code == 2 and is_none))  # 2: there is no model, or no run, at all
    try:
        if command == "decision":
            fitted, predictions = Fitted.read(home.run.decision), read_predictions(home.run.predictions("validation"))
            fitted.apply(predictions, rng=np.random.default_rng(0))
        else:
            read_sealed_folder((home.root / name).parent)
    except IntegrityError:
        return True
    return False


def loaders_of(home: Home, name: str) -> tuple[str, ...]:
    """Return the commands that must refuse a tampered file."""
    loaders = LOADERS.get(kind_of(name), NOBODY)
    if (home.root / name).exists():
        return loaders
    passing = {each for pattern, those in LET_PASS_WHERE_GONE.items() if fnmatch(name, pattern) for each in those}
    return tuple(each for each in loaders if each not in passing)


def undetected(home: Home, name: str, command: str) -> list[str]:
    """Return who overlooks that a file was tampered with: `verify`, or a command that loads it, where one is named."""
    found = verify(home.run).findings
    missed = [] if found else ["verify"]
    return missed if not command or refuses(home, command, name, found) else [*missed, command]


Tampering = Callable[[random.Random, Home, Path], None]


def flip(rng: random.Random, home: Home, path: Path) -> None:
    """Change one bit."""
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def flip_and_keep_times(rng: random.Random, home: Home, path: Path) -> None:
    """Change one bit, and put the file's times back."""
    facts = path.stat()
    flip(rng, home, path)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def truncate(rng: random.Random, home: Home, path: Path) -> None:
    """Cut the file off somewhere."""
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])


def append(rng: random.Random, home: Home, path: Path) -> None:
    """Add bytes, such as a line break that changes nothing for a reader of text."""
    path.write_bytes(path.read_bytes() + rng.choice([b"\n", b" ", b"\0", rng.randbytes(9), path.read_bytes()]))


def blank(rng: random.Random, home: Home, path: Path) -> None:
    """Overwrite a block with zeros, as a broken disk does."""
    content = bytearray(path.read_bytes())
    start = rng.randrange(len(content))
    content[start : start + 512] = bytes(len(content[start : start + 512]))
    path.write_bytes(content)


def edit(rng: random.Random, home: Home, path: Path) -> None:
    """Change a digit: a file of text stays one that parses."""
    content = bytearray(path.read_bytes())
    digits = [place for place, byte in enumerate(content) if chr(byte).isdecimal()]
    if digits:
        place = rng.choice(digits)
        content[place] = ord(rng.choice([digit for digit in "123456789" if ord(digit) != content[place]]))
        path.write_bytes(content)


def delete(rng: random.Random, home: Home, path: Path) -> None:
    """Take the file away."""
    path.unlink()


def link(rng: random.Random, home: Home, path: Path) -> None:
    """Put a link to an altered copy in the file's place."""
    copy = home.root / "elsewhere"
    copy.write_bytes(path.read_bytes() + b"\n")
    path.unlink()
    path.symlink_to(copy)


def swap(rng: random.Random, home: Home, path: Path) -> None:
    """Exchange two files of one kind: of two members, sets, checkpoints."""
    name = path.relative_to(home.root).as_posix()
    alike = [each for each in home.names if Path(each).suffix == path.suffix and home.sound[each] != home.sound[name]]
    if alike:
        other = home.root / rng.choice(alike)
        content = path.read_bytes()
        path.write_bytes(other.read_bytes())
        other.write_bytes(content)


def replay(rng: random.Random, home: Home, path: Path) -> None:
    """Put an earlier version of the file in its place."""
    name = path.relative_to(home.root).as_posix()
    path.write_bytes(home.older.get(name, home.sound[name]))


def replay_with_manifest(rng: random.Random, home: Home, path: Path) -> None:
    """Put earlier versions of the file and of the manifest in their places."""
    replay(rng, home, path)
    replay(rng, home, home.run.manifest)


def of_another_run(rng: random.Random, home: Home, path: Path) -> None:
    """Put the file of the same name of another run in its place."""
    name = path.relative_to(home.root).as_posix()
    path.write_bytes(home.others.get(name, home.sound[name]))


def test_a_decision_or_metrics_replayed_with_the_manifest_of_their_time_are_refused(home):
    """The predictions stay as they are, and only how they were evaluated is another."""
    before = {
        name: home.sound[name] for name in ("run/manifest.json", "run/decision.json", "run/metrics/validation.json")
    }
    assert call("evaluate", home.run.root, "--draws", "150", "--seed", "5")[0] == 0
    later = contents(home.root)
    for name, command in (("run/decision.json", "decision"), ("run/metrics/validation.json", "report")):
        assert later[name] != before[name]
        for each in (name, "run/manifest.json"):
            (home.root / each).write_bytes(before[each])
        assert undetected(home, name, command) == []
        for each in (name, "run/manifest.json"):
            (home.root / each).write_bytes(later[each])
        assert undetected(home, name, command) == ["verify", command]
    home.restore()


TAMPERINGS: tuple[Tampering, ...] = (
    flip, flip_and_keep_times, truncate, append, blank, edit, delete, link, swap, replay, replay_with_manifest,
    of_another_run,
)  # fmt: skip


def test_nothing_is_overlooked(home, rounds, tally):
    """The short form asks every command once of each kind of file and of tampering, the long form of each case one."""
    rng, cases, refused, overlooked, by_kind = random.Random(11), 0, 0, [], dict.fromkeys(TAMPERINGS, 0)
    wanted, asked = rounds(1000, 20_000), set()
    while cases < wanted:
        name, tamper = rng.choice(home.names), rng.choice(TAMPERINGS)
        tamper(rng, home, home.root / name)
        if home.is_tampered(name):  # an earlier version may be the same
            command = rng.choice(loaders_of(home, name))
            case = (kind_of(name), tamper, command)
            command = "" if case in asked and wanted == 1000 else command
            asked.add(case)
            overlooked += [f"{tamper.__name__} of {name}: {by}" for by in undetected(home, name, command)]
            cases, refused, by_kind[tamper] = cases + 1, refused + bool(command), by_kind[tamper] + 1
        home.restore()
    assert not overlooked, "\n".join(overlooked)
    assert min(by_kind.values()) > 0
    assert refused > 150
    tally(f"{cases:,} of {cases:,} tampered files were found by verify, {refused:,} of {refused:,} refused when loaded")


@pytest.mark.parametrize(
    ("planted", "commands"),
    [
        ("predictions/planted.parquet", ("evaluate", "compare")),
        ("metrics/planted.json", ("report",)),
        ("seed_42/adapter_model.bin", ()),
        ("seed_45/member.json", ()),
        ("uncertainty/planted.csv", ()),
        ("scores/.hidden", ()),
        ("checkpoints/from_seed_44/step_00000001_in_epoch/more.json", ("checkpoint",)),
    ],
)
def test_planted_files_are_found(home, planted, commands):
    path = home.run.root / planted
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(home.sound["run/predictions/validation.parquet"])
    assert verify(home.run).findings[planted] == ["not written by this run"]
    name, run = f"run/{planted}", home.run.root
    if "compare" in commands:
        assert "planted.parquet: not written by this run" in call("compare", run, run, "--name", "planted")[1]
    assert all(refuses(home, each, name, [planted]) for each in commands if each != "compare")
    home.restore()


def test_what_nobody_loads_changes_nothing(home):
    def told() -> list[tuple[int, bytes]]:
        codes = [
            call("evaluate", home.run.root)[0],
            call("report", home.run.root)[0],
            call("predict", home.run.root)[0],
        ]
        metrics = home.run.metrics("validation")
        return [(code, path.read_bytes()) for code in codes for path in (metrics, home.run.predictions("validation"))]

    expected = told()
    home.restore()
    for name in home.names:
        if kind_of(name) not in LOADERS:
            flip(random.Random(1), home, home.root / name)
    assert not verify(home.run).is_sound
    assert told() == expected
    home.restore()


def test_the_detector_is_silent_about_what_is_sound_or_recorded_anew(home):
    rng = random.Random(2)
    assert verify(home.run).lines() == []
    assert all(code == 0 for code, _ in (call(each, home.run.root) for each in ("verify", "report", "evaluate")))
    home.restore()
    weights = "run/seed_42/adapter_model.safetensors"
    assert undetected(home, weights, "predict") == ["verify", "predict"]  # nothing was done, so that nobody can tell
    home.restore()
    edit(rng, home, home.root / "run/uncertainty/validation.csv")
    assert undetected(home, "run/uncertainty/validation.csv", "") == []
    recorded(home.run)  # whoever can write the folder can also seal it anew
    assert undetected(home, "run/uncertainty/validation.csv", "") == ["verify"]
    content = bytearray(home.sound[weights])
    content[-4] ^= 1  # the least of a number: no tensor is another kind, or not finite
    (home.root / weights).write_bytes(content)
    recorded(home.run)
    assert "predict" in undetected(home, weights, "predict")
    assert "not the weights that seed_42/member.json tells of" in "\n".join(verify(home.run).lines())
    home.restore()

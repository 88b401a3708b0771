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
from pathlib import Path

import pytest

from ensemble_uq_llm.cli import main
from ensemble_uq_llm.errors import IntegrityError
from ensemble_uq_llm.evaluation.decisions.fitted import Fitted
from ensemble_uq_llm.models.base_files import base_files
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.storage.sealed_folder import new_sealed_folder, read_sealed_folder
from ensemble_uq_llm.utils.files import write_json
from ensemble_uq_llm.verification.verify import verify
from recording import recorded

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
        return sorted(name for name in self.sound if not name.startswith("data"))

    def restore(self) -> None:
        """Undo whatever a case has done."""
        for path in sorted(self.root.rglob("*"), reverse=True):
            name = path.relative_to(self.root).as_posix()
            if path.is_symlink() or (path.is_file() and name not in self.sound):
                path.unlink()
            elif path.is_dir() and not any(path.iterdir()):
                path.rmdir()
        for name, content in self.sound.items():
            path = self.root / name
            if not path.is_file() or path.read_bytes() != content:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)


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
    tiny_base: Path, tiny_data: Path, other_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Home]:
    """Two members and everything that comes of them, then a third one, and everything again; and a checkpoint."""
    root = tmp_path_factory.mktemp("tampering") / "home"
    shutil.copytree(tiny_base, root / "base")
    for source, name in ((tiny_data, "data.jsonl"), (other_data, "data of others.jsonl")):
        shutil.copy(source, root / name)
    settings = {
        "model_name": root / "base", "train_file": root / "data.jsonl", "validation_file": root / "data of others.jsonl",
        "num_epochs": 1, "lora_r": 2, "warmup_steps": 0, "gradient_accumulation_steps": 1, "bootstrap_draws": 100,
        "use_bf16": "false", "device": "cpu", "calibration_fraction": 0.25,
    }  # fmt: skip
    words = [
        word
        for key, value in settings.items()
        for word in ("--set", f'{key}="{value}"' if key.endswith(("name", "file")) else f"{key}={value}")
    ]
    made = Home(root=root)
    assert (
        call(
            "run",
            *words,
            "--set",
            f"output_dir={root.parent / 'others'}",
            "--set",
            "seeds=[42,43]",
            "--set",
            "learning_rate=0.01",
        )[0]
        == 0
    )
    assert call("run", *words, "--set", f"output_dir={root / 'run'}", "--set", "seeds=[42,43]")[0] == 0
    made.others = {f"run/{name}": content for name, content in contents(root.parent / "others").items()}
    made.older = contents(root)
    assert call("run", *words, "--set", f"output_dir={root / 'run'}", "--set", "seeds=[42,43,44]")[0] == 0
    with made.run.owned("test"), made.run.change() as change:
        known = made.run.record() | {"base_files": base_files(root / "base")}
        write_json(RunFolder(change.root).run_record, known)
    for step in (1, 2):
        with new_sealed_folder(root / CHECKPOINTS / f"step_0000000{step}_in_epoch") as folder:
            (folder / "state.json").write_text(f'{{"steps": {step}}}')
            (folder / "state.safetensors").write_bytes(bytes([step]) * 64)
    made.sound = contents(root)
    yield made
    shutil.rmtree(root.parent)


def loaders(name: str) -> tuple[str, ...]:
    """Name the commands that load a file."""
    room, _, rest = name.removeprefix("run/").partition("/")
    if name.startswith("base/"):
        return ("predict",)
    if room.startswith("seed_"):
        return ("predict",) if rest.endswith(".safetensors") else ("predict", "evaluate")
    if room == "checkpoints":
        return ("checkpoint",)
    if room == "predictions":
        return (
            ("evaluate", "compare")
            if rest == "validation.parquet"
            else ("evaluate",)
            if rest.endswith("t")
            else ("report",)
            if rest.startswith("v")
            else ()
        )
    return {
        "metrics": ("report",), "events.jsonl": ("report",), "decision.json": ("decision",),
        "run.json": ("predict", "evaluate", "report"), "config.yaml": ("predict", "evaluate", "report"),
        "manifest.json": ("predict", "evaluate", "report", "compare"),
    }.get(room, ())  # fmt: skip


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
        Fitted.read(home.run.decision) if command == "decision" else read_sealed_folder((home.root / name).parent)
    except IntegrityError:
        return True
    return False


def undetected(home: Home, name: str) -> list[str]:
    """Return who overlooks that a file was tampered with."""
    found = verify(home.run).findings
    missed = [command for command in loaders(name) if not refuses(home, command, name, found)]
    return missed if found else ["verify", *missed]


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


TAMPERINGS: tuple[Tampering, ...] = (
    flip, flip_and_keep_times, truncate, append, blank, edit, delete, link, swap, replay, replay_with_manifest,
    of_another_run,
)  # fmt: skip


def test_nothing_is_overlooked(home, rounds, tally):
    rng, cases, by_kind = random.Random(11), 0, dict.fromkeys(TAMPERINGS, 0)
    wanted = int(os.environ.get("TN", rounds(1000, 20_000)))
    while cases < wanted:
        name, tamper = rng.choice(home.names), rng.choice(TAMPERINGS)
        tamper(rng, home, home.root / name)
        if (home.root / name).is_symlink() or contents(home.root).get(name) != home.sound[name]:
            assert undetected(home, name) == [], f"{tamper.__name__} of {name}"
            cases, by_kind[tamper] = cases + 1, by_kind[tamper] + 1
        home.restore()
    assert min(by_kind.values()) > 0
    tally(f"{cases:,} of {cases:,} tampered files were found by verify and refused by the commands that load them")

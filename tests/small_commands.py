"""Commands run in this process, as the command line runs them: the smallest run's, one after the other."""

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ensemble_uq_llm.cli import main


@dataclass(frozen=True)
class Told:
    """How a command ended: its exit code, and what it printed to both streams; a traceback is `raised`."""

    code: int
    text: str
    raised: BaseException | None = None


def command(*arguments: str) -> Told:
    """Run `ensemble-uq ARGUMENTS`."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), warnings.catch_warnings():
        warnings.simplefilter("always")
        try:
            main(list(arguments))
        except SystemExit as error:
            return Told(int(error.code or 0), out.getvalue())
        except Exception as error:  # noqa: BLE001 (what a user would see as a traceback)
            return Told(1, out.getvalue(), error)
    return Told(0, out.getvalue())


def small_config(folder: Path, base: Path, data: Path) -> Path:
    """Write the configuration of the smallest run into a folder."""
    path = folder / "small.yaml"
    path.write_text(
        f"model_name: {base}\ntrain_file: {data}\nvalidation_file: {data}\nseeds: [42, 43]\nnum_epochs: 1\n"
        "batch_size: 12\ngradient_accumulation_steps: 1\nwarmup_steps: 0\nlora_r: 2\nlora_alpha: 4\n"
        "bootstrap_draws: 100\nuse_bf16: false\ndevice: cpu\ntokens_per_pass: 1024\ncheckpoint_steps: 1\n",
        encoding="utf-8",
    )
    return path


def stages(config: Path, run: Path) -> dict[str, list[str]]:
    """Return the commands that make a run of a configuration, each by its name."""
    return {
        "train": ["train", str(config), "--set", f"output_dir={run}"],
        "predict": ["predict", str(config), "--set", f"output_dir={run}"],
        "evaluate": ["evaluate", str(run), "--draws", "100"],
        "report": ["report", str(run)],
    }


@contextlib.contextmanager
def without_flushing() -> Iterator[None]:
    """Within it nothing waits for the disk: what is looked at is what a crash has left, not what a next one would."""
    before = os.fsync
    os.fsync = lambda descriptor: None
    try:
        yield
    finally:
        os.fsync = before

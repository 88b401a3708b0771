"""Build sdist and wheel, install the wheel into an empty environment, and evaluate there without torch.

    python tools/check_wheel.py [FOLDER]

FOLDER is where the two distributions are left, by default dist/. The checkout itself is not built in: its sources are
copied first, so that nothing of an earlier build gets into the wheel. Needs PyPI's `build`.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "ensemble_uq_llm"
ABSENT = ("torch", "transformers", "peft", "datasets", "safetensors", "psutil", "pandas")
"""What the light installation must not bring."""

NOT_SOURCES = shutil.ignore_patterns(".*", "runs", "build", "dist", "*.egg-info", "__pycache__")

MAKE_PREDICTIONS = """
import sys
import numpy as np
from ensemble_uq_llm import Predictions, write_predictions

rng = np.random.default_rng(0)
true_logits_NC = 2 * rng.normal(size=(400, 2))
labels_N = (true_logits_NC + rng.gumbel(size=(400, 2))).argmax(axis=1)
for path, noise in zip(sys.argv[1:], (0.5, 3.0)):
    logits_MNC = true_logits_NC + noise * rng.normal(size=(5, 400, 2))
    write_predictions(path, Predictions.from_arrays(logits=logits_MNC, labels=labels_N))
"""


def main() -> None:
    """Build, look inside, install, use."""
    target = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "dist").absolute()
    with tempfile.TemporaryDirectory(prefix="check-wheel-") as folder:
        work = Path(folder)
        wheel = build(work / "sources", target)
        check_content(wheel)
        python = install(wheel, work / "environment")
        use(python, work / "use")
    print(f"{wheel.name}: built, complete, and evaluates without torch")


def build(sources: Path, target: Path) -> Path:
    """Build the sdist, and from it (as `build` does) the wheel; return the wheel."""
    shutil.copytree(ROOT, sources, ignore=NOT_SOURCES)
    shutil.rmtree(target, ignore_errors=True)
    made = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", target, sources], capture_output=True, text=True, check=False
    )
    if made.returncode:
        sys.exit(f"{made.stdout}{made.stderr}the distributions cannot be built")
    [sdist], [wheel] = target.glob("*.tar.gz"), target.glob("*.whl")
    print(f"built {sdist.name} and {wheel.name}")
    return wheel


def check_content(wheel: Path) -> None:
    """Every file of the package is in the wheel as it is in the checkout, and nothing else of it."""
    source = ROOT / "src"
    expected = {
        path.relative_to(source).as_posix(): path.read_bytes()
        for path in (source / PACKAGE).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        found = {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}
    differing = sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name))
    if differing:
        sys.exit(f"{wheel}: not the files of {source}: {', '.join(differing)}")
    for name in (f"{PACKAGE}/py.typed", f"{PACKAGE}/assets/report.html.j2", f"{PACKAGE}/assets/demo.yaml"):
        if name not in found:
            sys.exit(f"{wheel}: {name} is missing")
    print(f"{len(found)} files in the wheel, each as in the checkout")


def install(wheel: Path, environment: Path) -> Path:
    """Install the wheel alone into a new environment; return its Python."""
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    before = megabytes(environment)
    call(python, "-m", "pip", "install", "--quiet", "--quiet", "--disable-pip-version-check", wheel)
    print(f"the installation takes {megabytes(environment) - before:.0f} MB")
    present = output(python, "-c", f"import importlib.util as u; print(*filter(u.find_spec, {ABSENT}))")
    if present:
        sys.exit(f"the light installation brings {present}")
    return python


def use(python: Path, folder: Path) -> None:
    """Evaluate, compare and report predictions, outside of the checkout; training names what it lacks."""
    folder.mkdir()
    command = python.with_name("ensemble-uq")
    print(output(command, "--version", cwd=folder))
    call(python, "-c", MAKE_PREDICTIONS, "good.parquet", "poor.parquet", cwd=folder)
    call(command, "evaluate", "good.parquet", "--output", "out", cwd=folder)
    call(command, "report", "out", cwd=folder)
    call(command, "compare", "good.parquet", "poor.parquet", cwd=folder)
    for name in ("metrics/good.json", "uncertainty/good.csv", "report.html"):
        if not (folder / "out" / name).is_file():
            sys.exit(f"evaluate wrote no {name}")
    refused = subprocess.run(
        [command, "demo"], cwd=folder, env=clean_environment(), capture_output=True, text=True, check=False
    )
    if refused.returncode != 2 or "ensemble-uq-llm[train]" not in refused.stderr:
        sys.exit(f"without torch, demo exits {refused.returncode}: {refused.stderr}")


def call(*words: str | Path, cwd: Path | None = None) -> None:
    """Run a command and show what it prints."""
    subprocess.run(words, cwd=cwd, env=clean_environment(), check=True)


def output(*words: str | Path, cwd: Path | None = None) -> str:
    """Run a command and return what it prints."""
    run = subprocess.run(words, cwd=cwd, env=clean_environment(), check=True, stdout=subprocess.PIPE, text=True)
    return run.stdout.strip()


def clean_environment() -> dict[str, str]:
    """The environment without what Python would look for modules by."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def megabytes(folder: Path) -> float:
    """The size of a folder's files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()) / 1e6


if __name__ == "__main__":
    main()

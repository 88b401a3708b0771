"""What `--help` shows below the options of each command: examples to copy, and the exit codes that it can have."""

from typing import Final

EXIT_CODES: Final = {
    0: "done",
    2: "the configuration or the command line cannot be used",
    3: "data or predictions cannot be used",
    4: "some members failed; the others are saved",
    5: "a file was altered or torn",
    75: "interrupted; run the same command again",
    1: "a bug of ours",
}
"""What every exit code of the command line means."""

_READING, _ENGINE = (0, 2, 3, 5, 75, 1), (0, 2, 3, 4, 5, 75, 1)

_PAGES: Final[dict[str, tuple[tuple[str, ...], tuple[int, ...]]]] = {
    "run": (("run config.yaml", "run config.yaml --set seeds=[1,2,3] --set output_dir=runs/three"), _ENGINE),
    "train": (("train config.yaml --dry-run", "train config.yaml", "train runs/first --set seeds=[1,2,3,4]"), _ENGINE),
    "predict": (
        (
            "predict runs/first",
            "predict runs/first --data new.jsonl --name new --evaluate",
            "predict runs/first --adapter theirs/a --adapter theirs/b",
            "predict runs/first --zero-shot --evaluate",
        ),
        _READING,
    ),
    "posterior": (
        (
            "posterior runs/first --maker tfb",
            "posterior runs/first --maker mc_dropout --samples 20 --with rate=0.1 --output runs/dropped",
            "posterior config.yaml --maker mc_dropout --adapter theirs/a --adapter theirs/b",
        ),
        _READING,
    ),
    "evaluate": (
        (
            "evaluate runs/first",
            "evaluate mine.csv --shift news=news.csv --calibration held_out.csv --output results",
            "evaluate runs/first --format markdown",
        ),
        _READING,
    ),
    "decide": (
        (
            "decide runs/first --target-risk 0.05",
            "decide held_out.csv --target-risk 0.1 --confidence 0.95 --output results --json",
            "decide held_out.csv --target-risk 0.1 --score any --group country",
        ),
        _READING,
    ),
    "answer": (
        (
            "answer runs/first --data new.csv",
            "answer runs/first --data new.jsonl --target-risk 0.05",
            "answer runs/first --data new.parquet --target-risk 0.05 --output answers.csv --json",
        ),
        _READING,
    ),
    "report": (("report runs/first", "report runs/first --format latex"), _READING),
    "compare": (
        (
            "compare runs/first runs/second",
            "compare runs/first runs/first_tfb runs/first_zero_shot --baseline runs/first_zero_shot --shift news",
            "compare baseline.csv mine.csv theirs.npz --format markdown",
        ),
        _READING,
    ),
    "verify": (("verify runs/first", "verify runs/first --accept"), (0, 2, 3, 5, 75, 1)),
    "validate": (("validate config.yaml", "validate config.yaml --set lora_layers=[0,1] --json"), (0, 2, 3, 5, 75, 1)),
    "config": (("config config.yaml", "config runs/first --json"), (0, 2, 75, 1)),
    "init": (
        (
            "init",
            "init boolq.yaml --task boolq",
            "init sst2.yaml --task sst2 --train train.jsonl --validation dev.jsonl",
        ),
        (0, 2, 3, 75, 1),
    ),
    "doctor": (("doctor", "doctor runs"), (0, 2, 75, 1)),
    "demo": (("demo", "demo --output-dir runs/demo --set seeds=[1,2]"), _ENGINE),
}


def epilog(command: str) -> str:
    r"""Return the examples and exit codes of a command; `\b` keeps the lines of a paragraph."""
    examples, codes = _PAGES[command]
    lines = ["\b", "Examples:", *(f"  ensemble-uq {words}" for words in examples)]
    lines += ["", "\b", "Exit codes:", *(f"  {code:<3} {EXIT_CODES[code]}" for code in codes)]
    return "\n".join(lines)


def examples() -> list[str]:
    """Return every example, without the name of the program."""
    return [words for some, _ in _PAGES.values() for words in some]

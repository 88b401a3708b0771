"""Options and arguments that several commands share, and the configuration that they name."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ensemble_uq_llm.utils.files import expanded, path_problem
from ensemble_uq_llm.utils.text import clipped

if TYPE_CHECKING:
    from ensemble_uq_llm.config import Config

FOUND: Final = Path("config.yaml")
"""The configuration that is taken where none is named; `init` writes it."""


def home_path(text: str | Path) -> Path:
    """Read a path of the command line; the shell leaves a `~` alone behind an equals sign."""
    if problem := path_problem(str(text)):
        raise typer.BadParameter(f"{problem}, found {clipped(str(text))}")
    return expanded(Path(text))


def _few_enough(draws: int | None) -> int | None:
    from ensemble_uq_llm.utils.key_types import MOST_DRAWS

    if draws is not None and draws > MOST_DRAWS:
        raise typer.BadParameter(f"must be at most {MOST_DRAWS:,}, found {draws}")
    return draws


ConfigPath = Annotated[
    Path | None,
    typer.Argument(
        metavar="CONFIG", parser=home_path, help="A YAML file, or a run folder. [default: ./config.yaml if it exists]"
    ),
]
Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key; repeatable.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Adapters = Annotated[
    list[Path] | None,
    typer.Option("--adapter", metavar="PATH", parser=home_path, help="A PEFT folder as member; repeatable."),
]
ZeroShot = Annotated[
    bool, typer.Option("--zero-shot", help="Ask the base alone, by the answer head; written beside the run.")
]
Draws = Annotated[
    int | None, typer.Option(callback=_few_enough, min=100, help="Bootstrap draws for the 95% confidence intervals.")
]
TaskName = Annotated[
    str | None,
    typer.Option("--task", metavar="NAME", help="A known task, such as boolq, sst2, rte or ag_news."),
]
TrainRows = Annotated[
    Path | None, typer.Option("--train", metavar="FILE", parser=home_path, help="The task's rows to train on.")
]
EvaluationRows = Annotated[
    Path | None, typer.Option("--validation", metavar="FILE", parser=home_path, help="The task's rows to evaluate on.")
]
Seed = Annotated[int | None, typer.Option(min=0, max=2**63 - 1, help="Seed of the bootstrap.")]


def found_config(named: Path | None) -> Path | None:
    """Return the configuration that was named, or else `./config.yaml` where there is one, which is said."""
    if named is None and FOUND.is_file():
        print(f"configuration: ./{FOUND}", file=sys.stderr)  # noqa: T201 (the command line's own voice)
        return FOUND
    return named


def load(named: Path | None, overrides: list[str] | None) -> "Config":
    """Return the configuration that was named or found, or else the defaults, with what overrides it."""
    from ensemble_uq_llm.config_file import load_config
    from ensemble_uq_llm.data.classes import with_classes

    return with_classes(load_config(found_config(named), overrides or []))

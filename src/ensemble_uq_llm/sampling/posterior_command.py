"""The command that makes samples of a run's members, and what `run` does with `posterior: NAME`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ensemble_uq_llm.commands.interruption import telling_what_is_kept
from ensemble_uq_llm.commands.next_command import say_next
from ensemble_uq_llm.commands.options import Adapters, AsJson, ConfigPath, Overrides, home_path, load
from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.evaluation_commands import evaluate_and_show
from ensemble_uq_llm.printing import console_for, print_json
from ensemble_uq_llm.samples.maker_names import MAKERS, check_maker
from ensemble_uq_llm.utils.key_types import MOST_SAMPLES
from ensemble_uq_llm.utils.text import clipped, counted

if TYPE_CHECKING:
    from ensemble_uq_llm.config import Config

_MakerOption = Annotated[
    str | None, typer.Option("--maker", metavar="NAME", help=f"What makes the samples: {', '.join(MAKERS)}.")
]


def posterior(
    config: ConfigPath = None,
    maker: _MakerOption = None,
    samples: Annotated[
        int | None, typer.Option(min=1, max=MOST_SAMPLES, help="Samples of each member; default: posterior_samples.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="PATH", parser=home_path, help="The new run's folder; default: beside the run."),
    ] = None,
    with_: Annotated[
        list[str] | None, typer.Option("--with", metavar="KEY=VALUE", help="A setting of the maker; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Another one draws other samples.")] = 0,
    adapters: Adapters = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Make samples of the members' weights: a run of its own, beside theirs.

    It is predicted, evaluated, reported, compared and verified like any run; nothing is trained in it.
    """
    settings, console = load(config, overrides), console_for(as_json=as_json)
    chosen = maker or settings.posterior
    if chosen is None:
        raise ConfigError(f"--maker: name one of {', '.join(MAKERS)}, or set `posterior` in the configuration")
    check_maker(chosen)
    from ensemble_uq_llm.posteriors.registry import maker_of
    from ensemble_uq_llm.run_folder import RunFolder
    from ensemble_uq_llm.sampling.posterior_run import make_posterior

    made_by = maker_of(chosen, _pairs(with_ or []))
    with telling_what_is_kept(RunFolder(settings.output_dir)):
        made = make_posterior(
            settings,
            made_by,
            samples=samples or settings.posterior_samples,
            output=output,
            adapters=adapters or [],
            seed=seed,
            console=console,
        )
    members = RunFolder(made.output_dir).members()
    if as_json:
        print_json({"output_dir": str(made.output_dir), "members": [member.folder_name for member in members]})
        return
    console.print(f"{counted(len(members), 'sample')} by {chosen} in {made.output_dir}", soft_wrap=True)
    say_next("predict", made.output_dir, "--evaluate")


def run_posterior(settings: "Config", *, sets: Sequence[str], as_json: bool) -> None:
    """Make the samples that a configuration asks for, predict what the run predicts, evaluate, and report."""
    from ensemble_uq_llm.data.job import Job
    from ensemble_uq_llm.pipeline import predict_outdated
    from ensemble_uq_llm.posteriors.registry import maker_of
    from ensemble_uq_llm.sampling.posterior_run import make_posterior

    assert settings.posterior is not None, "who has no maker makes no samples"
    job, console = Job(settings), console_for(as_json=as_json)
    made_by = maker_of(settings.posterior)
    made = make_posterior(settings, made_by, samples=settings.posterior_samples, job=job, console=console)
    console.print(f"\nsamples by {settings.posterior} in {made.output_dir}", soft_wrap=True)
    predict_outdated(made, sets, job=Job(made), console=console)
    evaluate_and_show(made, as_json=as_json)


def _pairs(settings: Sequence[str]) -> dict[str, str]:
    """Return settings of a maker by name; raises ConfigError where one is not KEY=VALUE, or stands twice."""
    pairs: dict[str, str] = {}
    for each in settings:
        key, equals, value = each.partition("=")
        if not equals or not key or key in pairs:
            raise ConfigError(f"--with: {clipped(each)}; give each setting once, as KEY=VALUE, such as rate=0.1")
        pairs[key] = value
    return pairs

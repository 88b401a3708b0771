"""The members of a run train further, for makers that ask for that: by the run's own data and settings."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.bags.drawn_bags import Bags
from ensemble_uq_llm.data.bags.recorded_bags import recorded_bags
from ensemble_uq_llm.data.job import Job, PreparedSet
from ensemble_uq_llm.data.prepare import class_weights
from ensemble_uq_llm.data.tokenize import NO_EXAMPLES
from ensemble_uq_llm.inference.members import LoadedEnsemble
from ensemble_uq_llm.posteriors.maker import Tell
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.training.epochs import TrainingData
from ensemble_uq_llm.training.events import Event, Started, Stepped

Plan = TypeVar("Plan")
Found = TypeVar("Found")


class ShareOfSteps:
    """A listener of training that tells which share of its steps is taken."""

    def __init__(self, tell: Tell) -> None:
        self._tell, self._first, self._last = tell, 0, 0

    def __call__(self, event: Event) -> None:
        """Hear of the beginning, and of steps."""
        if isinstance(event, Started):
            self._first, self._last = event.step, event.steps
        elif isinstance(event, Stepped):
            self._tell((event.step - self._first) / (self._last - self._first))


def further_training(
    config: Config,
    loaded: LoadedEnsemble,
    job: Job,
    *,
    by: Callable[..., Sequence[Found]],
    tell: Tell,
) -> Callable[[Plan], Sequence[Found]] | None:
    """Return what lets all members train further `by` a walk; None of foreign members, whose training is not known."""
    if loaded.foreign:
        return None

    def train_on(plan: Plan) -> Sequence[Found]:
        watching = watching_rows(config, job)
        data = TrainingData(
            train=job.train.tokens(loaded.tokenizer),
            validation=NO_EXAMPLES,
            stopping=None if watching is None else watching.tokens(loaded.tokenizer),
            class_weights=class_weights(config, job.train.examples),
            bags=bags_of(config, loaded, job),
        )
        return by(loaded.ensemble, data, config, plan, listeners=[ShareOfSteps(tell)])

    return train_on


def bags_of(config: Config, loaded: LoadedEnsemble, job: Job) -> Bags | None:
    """Return the bags of the members' training, so that none sees what it had left out."""
    folder, members = RunFolder(config.output_dir), loaded.ensemble.members
    return recorded_bags(folder, members, rows=len(job.train.examples), data_digest=job.train.digest)


def watching_rows(config: Config, job: Job) -> PreparedSet | None:
    """Return the rows that end trajectories which over-train: the stopping split, or else the calibration split.

    That one is used up a little, as each member chooses one of a few epochs by it; unwatched, a trajectory can lose far
    more than that. None where nothing is held out.
    """
    if job.stopping is not None or config.calibration_fraction == 0:
        return job.stopping
    return job.calibration

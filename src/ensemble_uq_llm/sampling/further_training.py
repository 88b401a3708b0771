"""The members of a run train further, for makers that ask for that: by the run's own data and settings."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.bags.drawn_bags import Bags
from ensemble_uq_llm.data.bags.recorded_bags import recorded_bags
from ensemble_uq_llm.data.job import Job
from ensemble_uq_llm.data.prepare import class_weights
from ensemble_uq_llm.data.tokenize import NO_EXAMPLES
from ensemble_uq_llm.inference.members import LoadedEnsemble
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.training.epochs import TrainingData

Plan = TypeVar("Plan")
Found = TypeVar("Found")


def further_training(
    config: Config,
    loaded: LoadedEnsemble,
    job: Job,
    *,
    by: Callable[[StackedEnsemble, TrainingData, Config, Plan], Sequence[Found]],
) -> Callable[[Plan], Sequence[Found]] | None:
    """Return what lets all members train further `by` a walk; None of foreign members, whose training is not known."""
    if loaded.foreign:
        return None

    def train_on(plan: Plan) -> Sequence[Found]:
        stopping = job.stopping
        data = TrainingData(
            train=job.train.tokens(loaded.tokenizer),
            validation=NO_EXAMPLES,
            stopping=None if stopping is None else stopping.tokens(loaded.tokenizer),
            class_weights=class_weights(config, job.train.examples),
            bags=_bags(config, loaded, job),
        )
        return by(loaded.ensemble, data, config, plan)

    return train_on


def _bags(config: Config, loaded: LoadedEnsemble, job: Job) -> Bags | None:
    """Return the bags of the members' training, so that none sees what it had left out."""
    folder, members = RunFolder(config.output_dir), loaded.ensemble.members
    return recorded_bags(folder, members, rows=len(job.train.examples), data_digest=job.train.digest)

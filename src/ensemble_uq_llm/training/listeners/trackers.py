"""Training told to an experiment tracker beside `events.jsonl`: TensorBoard or Weights & Biases, each an extra."""

import io
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.config_file import with_absolute_paths
from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.outgoing.redaction import without_secrets
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.training.events import BestKept, EpochEnded, Event, Stepped
from ensemble_uq_llm.utils.extras import naming_extras
from ensemble_uq_llm.utils.text import first_line


class Tracker(ABC):
    """A listener that gives every number to a tracker, a member's under its folder's name: `seed_42/loss`.

    Use it as a context manager around training. The tracker is opened with the first event, so that a training that
    never begins leaves nothing.
    """

    def __init__(self) -> None:
        self._is_open = False
        self._steps: dict[int, int] = {}

    def __enter__(self) -> Self:
        """Begin; nothing is opened yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hand over what is still held back."""
        if self._is_open:
            self.close()

    def __call__(self, event: Event) -> None:
        """Log the numbers of an event, if it has any."""
        if not self._is_open:
            self.open()
            self._is_open = True
        if isinstance(event, Stepped):
            self._steps[event.group] = event.step
        if numbers := dict(numbers_of(event)):
            self.log(numbers, step=self._steps.get(event.group, 0))

    @abstractmethod
    def open(self) -> None:
        """Begin a run of the tracker.

        Raises:
            ConfigError: it cannot be begun.
        """

    @abstractmethod
    def log(self, numbers: Mapping[str, float], *, step: int) -> None:
        """Log numbers by name, as they are after so many optimiser steps."""

    @abstractmethod
    def close(self) -> None:
        """End the run of the tracker."""


def numbers_of(event: Event) -> Mapping[str, float]:
    """Return the numbers of an event, by the names under which a tracker shows them."""
    match event:
        case Stepped():
            by_seed: dict[str, Mapping[int, float]] = {"loss": event.losses}
            own = {
                "learning_rate": event.learning_rate,
                f"device_{event.group}/tokens_per_second": event.tokens_per_second,
            }
        case EpochEnded():
            by_seed = {
                "validation_loss": event.validation_loss,
                "validation_accuracy": event.validation_accuracy,
                "stopping_loss": event.stopping_loss,
            }
            own = {"epoch": event.epoch}
        case BestKept():
            by_seed, own = {"kept_epoch": event.epochs}, {}
        case _:
            by_seed, own = {}, {}
    members = {
        f"{MemberId(seed).folder_name}/{name}": value for name, of in by_seed.items() for seed, value in of.items()
    }
    return members | own


class TensorBoardTracker(Tracker):
    """Writes into the run's folder `tensorboard/`; `tensorboard --logdir RUN` shows it.

    Raises:
        ModuleNotFoundError: it is not installed.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        from torch.utils.tensorboard import SummaryWriter

        self._make: Callable[[], Any] = lambda: SummaryWriter(str(RunFolder(config.output_dir).tensorboard))

    def open(self) -> None:
        """Make the file."""
        self._writer = self._make()

    def log(self, numbers: Mapping[str, float], *, step: int) -> None:
        """Write scalars."""
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and close the file."""
        self._writer.close()


class WandbTracker(Tracker):
    """Logs to Weights & Biases, its files in the run's folder `wandb/`; `WANDB_MODE=offline` keeps all of it there.

    Raises:
        ModuleNotFoundError: it is not installed.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        import wandb

        self._wandb, self._config = wandb, config

    def open(self) -> None:
        """Begin a run of the project `ensemble-uq` that bears the run folder's name, with the configuration.

        Raises:
            ConfigError: W&B cannot begin one, as when nobody is logged in.
        """
        folder = RunFolder(self._config.output_dir).root
        folder.mkdir(parents=True, exist_ok=True)
        settings = without_secrets(with_absolute_paths(self._config).model_dump(mode="json"))
        try:
            with _told_no_secrets():
                self._run = self._wandb.init(
                    project="ensemble-uq", name=folder.absolute().name, dir=str(folder), config=settings
                )
        except self._wandb.Error as error:
            raise ConfigError(
                f"log_to: wandb cannot begin ({first_line(error)}); log in with `wandb login`, set the environment's "
                "WANDB_MODE to offline, or set log_to to null"
            ) from error
        # Devices train at their own pace, and W&B drops what is logged for an earlier step of its own count.
        self._run.define_metric("*", step_metric="step")

    def log(self, numbers: Mapping[str, float], *, step: int) -> None:
        """Log the numbers with their step."""
        self._run.log({"step": step, **numbers})

    def close(self) -> None:
        """Finish the run, which may upload what is left."""
        self._run.finish()


@contextmanager
def _told_no_secrets() -> Iterator[None]:
    """While W&B begins it sees the command without secrets, and a standard input that answers no question.

    Left to itself it uploads whatever is printed and the address of the git repository, which may hold a token; a
    user who wants that sets WANDB_CONSOLE and WANDB_DISABLE_GIT.
    """
    os.environ.setdefault("WANDB_CONSOLE", "off")
    os.environ.setdefault("WANDB_DISABLE_GIT", "true")
    before = sys.argv, sys.stdin
    sys.argv, sys.stdin = without_secrets(sys.argv), io.StringIO()
    try:
        yield
    finally:
        sys.argv, sys.stdin = before


_TRACKERS = {"tensorboard": TensorBoardTracker, "wandb": WandbTracker}


@naming_extras()
def tracker_of(config: Config) -> Tracker | None:
    """Return the tracker that a configuration asks for.

    Raises:
        MissingExtraError: it is not installed.
    """
    return None if config.log_to is None else _TRACKERS[config.log_to](config)

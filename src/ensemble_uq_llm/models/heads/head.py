"""What the ensemble and the folders on disk know of a head, whatever its kind.

A head maps the last hidden state of a sequence to its logits, one head a member, stacked. `CLASSIFICATION` of
`classification.py` is the kind that transformers' sequence classifiers have; that of `answer.py` reads frozen rows of
the base.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import Generator, Tensor, nn
from transformers import PreTrainedModel

from ensemble_uq_llm.models.lora.stacked import Generators, LoraSpec, LoraStack
from ensemble_uq_llm.models.pack import Span


class Head(nn.Module, ABC):
    """The heads of all members.

    `width` is the number of logits that it returns for a sequence: one a class, and perhaps one for everything else;
    `adapters` holds the members' LoRA on it, by the name of the module within the whole model.
    """

    def __init__(self, *, width: int) -> None:
        super().__init__()
        self.width = width
        self.adapters: dict[str, LoraStack] = {}

    @abstractmethod
    def forward(self, hidden_BH: Tensor, spans: Sequence[Span], generators: Generators = None) -> Tensor:
        """Return the float32 logits [B, C] of B sequences; the spans say which are whose.

        With `generators`, one a member, the adapters' dropout is on.
        """

    @contextmanager
    def answers_alone(self) -> Iterator[None]:
        """Return no logit of everything else as long as this lasts: the loss of training is over the classes."""
        yield

    def named_stacks(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield what is trained beside adapters, stacked over the members, with PEFT's name of a member's slice."""
        yield from ()

    def initialise(self, member: int, generator_for: Callable[[str], Generator]) -> None:
        """Give a member its first weights; what is drawn for a stack comes from `generator_for` its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadLora:
    """The members' LoRA on the head itself: its rank, scale and dropout."""

    rank: int
    spec: LoraSpec


class HeadKind(ABC):
    """A kind of head: how it is made, and what PEFT's folders hold of it.

    `tensors` are the names of a member's slices, as `Head.named_stacks` yields them; `adapted` is the module of the
    whole model that may have adapters of its own, None where there is none.
    """

    name: str
    task_type: str
    tensors: tuple[str, ...] = ()
    adapted: str | None = None

    @property
    def modules_to_save(self) -> list[str]:
        """The modules that PEFT saves whole beside the adapters."""
        return list(dict.fromkeys(name.rpartition(".")[0] for name in self.tensors))

    @abstractmethod
    def make(self, decoder: PreTrainedModel, *, members: int, classes: int, lora: HeadLora | None = None) -> Head:
        """Return the heads of M members; `lora` asks for adapters on the head, where the kind can have them."""

    @abstractmethod
    def classes_of(self, tensors: Mapping[str, Tensor]) -> int:
        """Return how many classes a member has whose `tensors` these are."""

    def to_folder(self, name: str, tensor: Tensor) -> Tensor:
        """Return a member's slice of a stack as PEFT stores it under that name."""
        return tensor

    def from_folder(self, tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
        """Return the tensors that PEFT stores, `path`, as the stacks have them; what is the base's own is left out.

        Raises:
            IntegrityError: a tensor that cannot be that of a head over this base.
        """
        return tensors

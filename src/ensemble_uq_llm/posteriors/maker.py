"""What every maker of samples is: trained members in, samples of their weights out.

A sample is one set of weights, the same for every row and token: then it is a plain PEFT folder, and mutual
information keeps its meaning. A maker draws by generators that are named after the member, the sample and the tensor,
so that a member's samples do not depend on which other members there are.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Generator, Tensor

from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.pack import Tokens
from ensemble_uq_llm.models.taps.mean_field import MeanField, VariationalPlan
from ensemble_uq_llm.models.taps.moments import MemberMoments, WalkPlan
from ensemble_uq_llm.posteriors.maker_settings import checked_settings
from ensemble_uq_llm.utils.seeding import derive_seed

Weights: TypeAlias = dict[str, Tensor]
"""A sample: its tensors by the names that PEFT gives them, without the member's axis; those that are the parent's own
are left out."""

GeneratorFor: TypeAlias = Callable[[MemberId, int, str], Generator]
"""The generator of a member's sample (from 1), for one use of chance, such as the name of a tensor; on the CPU."""

Tell: TypeAlias = Callable[[float], None]
"""Hears which share of a maker's work is done, from 0 to 1; of one that can end early, of the longest that it takes."""


class Need(StrEnum):
    """What a maker asks for beside the members' weights."""

    WEIGHTS = "weights"
    ANCHOR_ROWS = "anchor rows"
    """The calibration split."""
    TRAINING_ROWS = "training rows"
    TRAINING_STEPS = "training steps"
    """Further steps of training, to which it listens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledRows:
    """Rows that a maker may look at: tokens and labels."""

    sequences: Sequence[Tokens]
    labels_N: NDArray[np.int64]
    options_N: NDArray[np.int64] | None
    """How many classes each row has, where rows differ in that; the others are lacking."""
    digest: str
    """The digest of the examples, for the lineage."""
    seen_MN: NDArray[np.bool_] | None = None
    """Which of them each member was trained on, where not all have seen all."""

    def seen_by(self, member: int) -> NDArray[np.int64]:
        """Return the rows that a member, by its place, was trained on."""
        return np.arange(len(self.labels_N)) if self.seen_MN is None else np.flatnonzero(self.seen_MN[member])

    def only(self, rows_N: NDArray[np.int64]) -> "LabelledRows":
        """Return these rows of them."""
        return replace(
            self,
            sequences=[self.sequences[row] for row in rows_N],
            labels_N=self.labels_N[rows_N],
            options_N=None if self.options_N is None else self.options_N[rows_N],
            seen_MN=None if self.seen_MN is None else self.seen_MN[:, rows_N],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Parents:
    """The members that samples are made of, on their base: their stacks [M, ...] are `ensemble.named_stacks()`.

    Every adapter's scale (alpha / rank) is in its B already, so that the update of a layer is B A. A maker may set the
    stacks for passes of its own, and puts back what was there.
    """

    ensemble: StackedEnsemble
    budget: int
    """Tokens of a pass."""
    anchor: LabelledRows | None = None
    training: LabelledRows | None = None
    dropouts: Sequence[float] = ()
    """The dropout that each member was trained with, as its folder says."""
    walk: Callable[[WalkPlan], Sequence[MemberMoments]] | None = None
    """Lets all members train further, and returns the moments of each one's weights on the way."""
    vary: Callable[[VariationalPlan], Sequence[MeanField]] | None = None
    """Lets all members train further as Gaussians, and returns what each one has become."""
    watched_by: str | None = None
    """The digest of the rows that end a trajectory which over-trains; None where nothing does."""
    tell: Tell = lambda _share: None

    @property
    def members(self) -> tuple[MemberId, ...]:
        """Whose weights the stacks hold, in their order."""
        return self.ensemble.members

    def stacks(self) -> dict[str, Tensor]:
        """Return the stacked tensors [M, ...] by the names that PEFT gives a member's slice."""
        return {name: stack.detach() for name, stack in self.ensemble.named_stacks()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a maker has made of each member, in the members' order."""

    samples: Sequence[Sequence[Weights]]
    facts: Sequence[Mapping[str, Any]] = field(default=())
    """Of each member, what the maker found, as JSON values for the lineage; nothing where nothing was."""


@dataclass(frozen=True)
class Maker(ABC):
    """A maker of samples; its fields are its settings, which the lineage tells, too. Their types bound them.

    Raises:
        ConfigError: a setting that nothing can be made with.
    """

    name: ClassVar[str]
    needs: ClassVar[frozenset[Need]]

    def __post_init__(self) -> None:
        checked_settings(type(self), asdict(self))

    @abstractmethod
    def make(self, parents: Parents, samples: int, generator_for: GeneratorFor) -> Made:
        """Return so many samples of every member.

        Raises:
            ConfigError, IntegrityError: these members have no such samples; the message says why.
        """


def seeded(maker: str, *, seed: int = 0) -> GeneratorFor:
    """Return the generators of a maker's samples: each is the member's own, whatever its company.

    `seed` draws other samples of the same members.
    """

    def generator_for(member: MemberId, sample: int, use: str) -> Generator:
        return Generator().manual_seed(derive_seed(member.seed, "posterior", maker, seed, member.sample, sample, use))

    return generator_for

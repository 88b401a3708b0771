"""One training set of the world and everything that is made of it: a cell, and where all of it lies."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Final

from posterior_bench.methods import Method
from posterior_bench.world.worlds import World

STEPS: Final = 192
"""Of the optimiser, for every size: the demo's twelve epochs of 500 questions. So sizes differ in their data alone."""

BATCH: Final = 32
FURTHER: Final = 1 / 3
"""How much longer, as a share of these steps, `swag` trains on: its four epochs of 500 questions."""

OWN_SETTINGS: Final = {"swag": {"rate": "0.1", "tolerance": "0.1"}}
"""Where a maker's defaults do not fit this training: members at their best epoch are made worse by the first epoch of
further training at the default rate, and `swag` refuses that."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A training set of so many questions, drawn by a seed."""

    out: Path
    seed: int
    questions: int
    members: int
    test_rows: int | None = None
    """Of every test set; None for as many as the world's sets have."""
    more_passes: bool = False
    """Whether makers on the ensemble also take as many samples of each member as there are members: ten times the
    passes."""
    draws: int = 1000
    """Of the noise floors."""
    overrides: tuple[str, ...] = ()
    """`KEY=VALUE` of the configuration."""
    maker_settings: tuple[str, ...] = ()
    """`MAKER.KEY=VALUE`."""

    @property
    def name(self) -> str:
        """Unique in the benchmark, and a folder's."""
        return f"questions_{self.questions}_set_{self.seed}"

    @property
    def run(self) -> Path:
        """The run of its members."""
        return self.made("members")

    @property
    def measured(self) -> Path:
        """What was measured of it."""
        return self.out / "measured" / f"{self.name}.json"

    @property
    def world(self) -> World:
        """Its rows."""
        return World(folder=self.out / "rows", seed=self.seed, test_rows=self.test_rows)

    @property
    def epochs(self) -> int:
        """So many that the optimiser takes `STEPS` steps, or nearly."""
        return self._epochs(STEPS)

    def made(self, name: str) -> Path:
        """Return the folder of what was made, such as a maker's samples."""
        return self.out / self.name / name

    def samples(self, method: Method) -> int:
        """Return the samples of each parent with which the passes are those of the ensemble, or ten times those."""
        return self.members if method.parents == "one" or method.many else 1

    def settings_of(self, maker: str) -> Iterator[str]:
        """Yield the maker's settings as `KEY=VALUE`; what is given stands in place of the benchmark's own."""
        own = OWN_SETTINGS.get(maker, {}) | ({"epochs": str(self._epochs(FURTHER * STEPS))} if maker == "swag" else {})
        given = [each.removeprefix(f"{maker}.") for each in self.maker_settings if each.startswith(f"{maker}.")]
        chosen = own | dict(each.split("=", 1) for each in given)
        yield from (f"{key}={value}" for key, value in chosen.items())

    def _epochs(self, steps: float) -> int:
        return max(1, round(steps / ceil(self.questions / BATCH)))

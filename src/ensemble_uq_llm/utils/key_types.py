"""The types of configuration values, stricter than pydantic's own: no bool is a number, no number a text.

Each has a bound far beyond what training can use, so that what follows never meets a number that overflows, or a text
that takes minutes; a configuration within them is always small enough to be read back (`flat_yaml.MAX_CHARACTERS`).
"""

import os
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from ensemble_uq_llm.utils.files import LONGEST_PATH, expanded, path_problem

MOST: Final = 10**9
MOST_MEMBERS: Final = 1_000
MOST_LAYERS: Final = 1_000
MOST_SAMPLES: Final = 1_000
MOST_DRAWS: Final = 100_000
MOST_GENERATED: Final = 100_000
"""Examples of a split of the embedded world, which makes as many as are asked for."""
LARGEST_RANK: Final = 65_536
SMALLEST: Final = 2.0**-126
"""The least positive number of float32 and bfloat16 that is not subnormal."""
LARGEST: Final = (2 - 2.0**-7) * 2.0**127
"""The largest number of bfloat16, which float32 has too."""
LONGEST_NAME: Final = 1_024
LONGEST_TEXT: Final = 32_768


def _no_flag(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticCustomError("number", "must be a number")
    return value


def _in_float32(value: float) -> float:
    if value != 0 and not SMALLEST <= abs(value) <= LARGEST:
        raise PydanticCustomError("float32", "must be 0 or, in size, between 1.2e-38 and 3.38e38")
    return value


def _usable(value: object) -> object:
    if isinstance(value, str | os.PathLike) and (problem := path_problem(os.fsdecode(value))):
        raise PydanticCustomError("path", "{problem}", {"problem": problem})
    return value


Count = Annotated[int, Field(strict=True, ge=1, le=MOST)]
CountOrZero = Annotated[int, Field(strict=True, ge=0, le=MOST)]
SampleCount = Annotated[int, Field(strict=True, ge=1, le=MOST_SAMPLES)]
Rank = Annotated[int, Field(strict=True, ge=1, le=LARGEST_RANK)]
Draws = Annotated[int, Field(strict=True, ge=100, le=MOST_DRAWS)]
Flag = Annotated[bool, Field(strict=True)]
Number = Annotated[float, Field(allow_inf_nan=False), AfterValidator(_in_float32), BeforeValidator(_no_flag)]
UserPath = Annotated[Path, AfterValidator(expanded), BeforeValidator(_usable)]
Text = Annotated[str, Field(strict=True, min_length=1, max_length=LONGEST_NAME)]
LongText = Annotated[str, Field(strict=True, min_length=1, max_length=LONGEST_TEXT)]
ModelName = Annotated[str, Field(strict=True, min_length=1, max_length=LONGEST_PATH)]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**63)]

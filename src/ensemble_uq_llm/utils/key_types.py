"""The types of configuration values, stricter than pydantic's own: no bool is a number, no number a text."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from ensemble_uq_llm.utils.files import expanded


def _no_flag(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticCustomError("number", "must be a number")
    return value


Count = Annotated[int, Field(strict=True, ge=1)]
CountOrZero = Annotated[int, Field(strict=True, ge=0)]
Flag = Annotated[bool, Field(strict=True)]
Number = Annotated[float, BeforeValidator(_no_flag), Field(allow_inf_nan=False)]
UserPath = Annotated[Path, AfterValidator(expanded)]
Text = Annotated[str, Field(strict=True, min_length=1)]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**63)]

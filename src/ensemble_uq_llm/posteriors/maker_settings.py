"""The settings of makers: what each may be, read from texts or numbers, and all that is wrong with them at once.

Each has a bound far beyond what is of use, so that no maker meets a number that is not finite, or never ends.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, Final, get_type_hints

from pydantic import ConfigDict, Field, ValidationError, create_model

from ensemble_uq_llm.config_problems import field_problems, told
from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.utils.suggest import did_you_mean
from ensemble_uq_llm.utils.text import clipped, counted, listed

_SMALL: Final = 1e-30
_LARGE: Final = 1e30
_OFTEN: Final = 1_000

Positive = Annotated[float, Field(ge=_SMALL, le=_LARGE)]
NotNegative = Annotated[float, Field(ge=0, le=_LARGE)]
DropoutRate = Annotated[float, Field(ge=0, lt=1)]
Times = Annotated[int, Field(ge=1, le=_OFTEN)]
"""How often something is done."""


def checked_settings(kind: type, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings of a maker of this kind, each by the type of its field; texts become numbers.

    Raises:
        ConfigError: unknown settings, and values that one cannot have; all of them.
    """
    known, types = [each.name for each in fields(kind)], get_type_hints(kind, include_extras=True)
    problems = [
        f"{clipped(key)}: no setting of its{did_you_mean(key, known) or f'; it has {listed(known)}'}"
        for key in settings
        if key not in known
    ]
    given = {key: value for key, value in settings.items() if key in known}
    asked: dict[str, Any] = {key: (types[key], ...) for key in given}
    form = create_model("Settings", __config__=ConfigDict(allow_inf_nan=False, protected_namespaces=()), **asked)
    try:
        read = dict(form.model_validate(given))
    except ValidationError as error:
        problems += [message for _, message in field_problems(error.errors())]
    if problems:
        raise ConfigError(
            problems[0]
            if len(problems) == 1
            else "\n  ".join([f"{counted(len(problems), 'problem')}:", *told(problems)])
        )
    return read

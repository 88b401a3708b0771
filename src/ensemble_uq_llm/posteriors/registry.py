"""Every maker by its name, and how its settings are read."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Final

from pydantic import TypeAdapter, ValidationError

from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.posteriors.ivon import Ivon
from ensemble_uq_llm.posteriors.laplace.laplace import Laplace
from ensemble_uq_llm.posteriors.maker import Maker
from ensemble_uq_llm.posteriors.mc_dropout import McDropout
from ensemble_uq_llm.posteriors.swag import Swag
from ensemble_uq_llm.posteriors.tfb import Tfb
from ensemble_uq_llm.samples.maker_names import check_maker
from ensemble_uq_llm.utils.suggest import did_you_mean
from ensemble_uq_llm.utils.text import clipped, first_line, listed

REGISTRY: Final[dict[str, type[Maker]]] = {kind.name: kind for kind in (Ivon, Laplace, McDropout, Swag, Tfb)}
"""The makers; `samples/maker_names.py` describes each without the engine."""


def maker_of(name: str, settings: Mapping[str, str] | None = None) -> Maker:
    """Return a maker with settings as texts, such as `{"rate": "0.1"}`; others have their defaults.

    Raises:
        ConfigError: there is no such maker or setting, or a value that it cannot have.
    """
    check_maker(name)
    kind = REGISTRY[name]
    known = [each.name for each in fields(kind)]
    for key, value in (settings or {}).items():
        if key not in known:
            raise ConfigError(
                f"--with: {name} has no setting {clipped(key)}{did_you_mean(key, known) or f'; it has {listed(known)}'}"
            )
        if value in ("nan", "inf", "-inf"):
            raise ConfigError(f"--with: {key} of {name} must be a finite number, found {clipped(value)}")
    try:
        return TypeAdapter(kind).validate_python(dict(settings or {}))
    except ValidationError as error:
        wrong = error.errors()[0]
        raise ConfigError(
            f"--with: {'.'.join(map(str, wrong['loc']))} of {name}: {first_line(Exception(wrong['msg']))}, found "
            f"{clipped(wrong['input'])}"
        ) from None

"""Every maker by its name, and how its settings are read."""

from collections.abc import Mapping
from typing import Final

from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.posteriors.ivon import Ivon
from ensemble_uq_llm.posteriors.laplace.laplace import Laplace
from ensemble_uq_llm.posteriors.maker import Maker
from ensemble_uq_llm.posteriors.maker_settings import checked_settings
from ensemble_uq_llm.posteriors.mc_dropout import McDropout
from ensemble_uq_llm.posteriors.swag import Swag
from ensemble_uq_llm.posteriors.tfb import Tfb
from ensemble_uq_llm.samples.maker_names import check_maker

REGISTRY: Final[dict[str, type[Maker]]] = {kind.name: kind for kind in (Ivon, Laplace, McDropout, Swag, Tfb)}
"""The makers; `samples/maker_names.py` describes each without the engine."""


def maker_of(name: str, settings: Mapping[str, str] | None = None) -> Maker:
    """Return a maker with settings as texts, such as `{"rate": "0.1"}`; others have their defaults.

    Raises:
        ConfigError: there is no such maker; or settings that it has not, or values that these cannot have: all of them.
    """
    check_maker(name)
    try:
        return REGISTRY[name](**checked_settings(REGISTRY[name], settings or {}))
    except ConfigError as error:
        raise ConfigError(f"--with: {name}: {error}") from None

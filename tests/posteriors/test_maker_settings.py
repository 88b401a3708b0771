from dataclasses import dataclass, fields
from typing import ClassVar

import pytest

from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.posteriors.maker_settings import DropoutRate, NotNegative, Positive, Times, checked_settings
from ensemble_uq_llm.posteriors.registry import REGISTRY, maker_of


@dataclass(frozen=True)
class Kind:
    name: ClassVar[str] = "kind"
    rate: DropoutRate | None = None
    scale: NotNegative = 1.0
    largest: Positive = 1.0
    rounds: Times = 3


def test_texts_become_numbers_and_what_is_not_given_is_left_out():
    assert checked_settings(Kind, {"rate": "0.5", "rounds": "7"}) == {"rate": 0.5, "rounds": 7}
    assert checked_settings(Kind, {"rate": None, "scale": 0}) == {"rate": None, "scale": 0.0}
    assert checked_settings(Kind, {}) == {}


def test_all_that_is_wrong_is_told_at_once():
    settings = {"rate": "1", "scale": "-1", "largest": "0", "rounds": "x", "round": "3"}
    with pytest.raises(ConfigError, match="5 problems:") as raised:
        checked_settings(Kind, settings)
    assert all(f"{name}: must be " in str(raised.value) for name in ("rate", "scale", "largest", "rounds"))
    assert "'round': no setting of its; did you mean 'rounds'?" in str(raised.value)


@pytest.mark.parametrize("value", ["nan", "NaN", "inf", "-Infinity", "1e400", "9" * 400])
@pytest.mark.parametrize("maker", REGISTRY)
def test_no_maker_has_a_number_that_is_not_finite(maker, value):
    for each in fields(REGISTRY[maker]):
        with pytest.raises(ConfigError, match=f"--with: {maker}: {each.name}: must be "):
            maker_of(maker, {each.name: value})


@pytest.mark.parametrize("maker", REGISTRY)
def test_a_maker_made_by_hand_is_checked_too(maker):
    for each in fields(REGISTRY[maker]):
        with pytest.raises(ConfigError, match=f"{each.name}: must be "):
            REGISTRY[maker](**{each.name: float("inf")})

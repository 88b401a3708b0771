from typing import get_args

import pytest

from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.posteriors.mc_dropout import McDropout
from ensemble_uq_llm.posteriors.registry import REGISTRY, maker_of
from ensemble_uq_llm.posteriors.tfb import Tfb
from ensemble_uq_llm.samples.maker_names import MAKERS, MakerName


def test_every_maker_has_its_name_and_no_other_is_told():
    assert {*REGISTRY} == {*MAKERS} == {*get_args(MakerName)}
    assert all(name == kind.name == maker_of(name).name for name, kind in REGISTRY.items())


def test_settings_are_read_from_texts():
    assert maker_of("mc_dropout", {"rate": "0.2"}) == McDropout(rate=0.2)
    assert maker_of("tfb", {"rounds": "3", "tolerance": "1e-3"}) == Tfb(rounds=3, tolerance=0.001)
    assert maker_of("mc_dropout") == McDropout(rate=None)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("tfb", {"round": "3"}, "--with: tfb: 'round': no setting of its.*'rounds'"),
        ("tfb", {"zzzzzz": "3"}, "it has 'tolerance', 'standard_errors', 'largest'"),
        ("tfb", {"rounds": "3.5"}, "--with: tfb: rounds: must be an integer.*, found '3.5'"),
        ("tfb", {"tolerance": "much"}, "--with: tfb: tolerance: must be a number.*, found 'much'"),
        ("mc_dropout", {"rate": "1"}, "rate: must be less than 1, found '1'"),
        ("tbf", {}, "--maker: 'tbf' is no maker.*tfb"),
    ],
)
def test_what_cannot_be_is_named(name, settings, message):
    with pytest.raises(ConfigError, match=message):
        maker_of(name, settings)

import pytest

from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.samples.maker_names import MAKERS, WITHOUT_SAMPLES, check_maker


@pytest.mark.parametrize("name", MAKERS)
def test_makers_are_known(name):
    assert check_maker(name) is None


@pytest.mark.parametrize("name", WITHOUT_SAMPLES)
def test_what_makes_no_samples_is_told_where_it_is(name):
    with pytest.raises(ConfigError, match=f"--maker: {name} makes no samples .*; evaluate the run, and it stands in"):
        check_maker(name)


def test_other_names_are_refused_with_the_list():
    there_are = "there are 'ivon', 'laplace', 'mc_dropout', 'swag', 'tfb'"
    with pytest.raises(ConfigError, match=f"--maker: 'zzzzzzz' is no maker; {there_are}"):
        check_maker("zzzzzzz")

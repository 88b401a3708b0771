import re

import pytest

from ensemble_uq_llm.errors import ConfigError, MissingExtraError
from ensemble_uq_llm.utils.extras import extra_of, how_to_install, naming_extras


def lacking(name):
    raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_a_missing_library_is_told_with_its_extra():
    message = "torch is not installed, and this needs it; install what brings it: pip install 'ensemble-uq-llm[train]'"
    with pytest.raises(MissingExtraError, match=f"^{re.escape(message)}$") as caught, naming_extras():
        lacking("torch.nn")
    assert isinstance(caught.value, ImportError)
    assert isinstance(caught.value, ConfigError)


def test_it_decorates_a_function():
    @naming_extras()
    def frame():
        lacking("pandas")

    for _ in range(2):
        with pytest.raises(MissingExtraError, match=r"^pandas is .*\[pandas\]'$"):
            frame()


@pytest.mark.parametrize("name", ["ensemble_uq_llm.nothing", "numpy", None])
def test_what_no_extra_brings_is_a_bug(name):
    with pytest.raises(ModuleNotFoundError, match="No module named") as caught, naming_extras():
        lacking(name)
    assert not isinstance(caught.value, MissingExtraError)


def test_the_extra_of_a_library():
    assert extra_of("psutil") == "train"
    assert extra_of("numpy") is None
    assert how_to_install("pandas") == "pip install 'ensemble-uq-llm[pandas]'"

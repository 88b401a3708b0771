import copy

import pytest

from ensemble_uq_llm import errors

CODES = {
    "ConfigError": (2, ValueError),
    "ModelError": (2, ValueError),
    "UnreachableModelError": (2, ValueError),
    "TooLittleMemoryError": (2, MemoryError),
    "MissingExtraError": (2, ImportError),
    "DataError": (3, ValueError),
    "MembersFailedError": (4, RuntimeError),
    "IntegrityError": (5, OSError),
    "InterruptedRunError": (75, RuntimeError),
}


@pytest.mark.parametrize("name", CODES)
def test_exit_code_and_what_a_python_caller_expects(name):
    code, expected = CODES[name]
    kind = getattr(errors, name)
    assert kind.exit_code == code
    assert issubclass(kind, errors.EnsembleUQError)
    with pytest.raises(expected, match=r"^file\.yaml:3: what is wrong$"):
        raise kind("file.yaml:3: what is wrong")


def test_every_error_has_its_code_in_the_contract():
    found = {each.__name__ for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)}
    assert found - {"EnsembleUQError"} == set(CODES)


@pytest.mark.parametrize("name", CODES)
def test_what_an_error_says_is_safe_however_it_is_read(name):
    error = getattr(errors, name)("a\x1b[2J\n\u202e https://user:word@host/x")
    safe = "a\\x1b[2J\n\\u202e https://***@host/x"
    assert (str(error), error.args) == (safe, (safe,))
    assert "word" not in repr(error)
    again = copy.copy(error)
    assert (type(again), str(again)) == (type(error), safe)


def test_the_base_is_no_ones_error():
    assert errors.EnsembleUQError.exit_code == 1

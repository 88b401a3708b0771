import errno

import pytest
from safetensors import SafetensorError

from ensemble_uq_llm.errors import DataError, StorageError
from ensemble_uq_llm.storage.failures import DISK, naming_failures, storage_error


@pytest.mark.parametrize("number", sorted(DISK))
def test_every_failure_of_a_disk_says_why_and_what_to_do(tmp_path, number):
    told = str(storage_error(tmp_path / "file", "written", OSError(number, "whatever")))
    assert told.startswith(f"{tmp_path / 'file'}: cannot be written (")
    assert told.endswith(", then run the same command again")
    assert "make it usable" not in told


def test_other_errors_of_the_system_are_named_too(tmp_path):
    told = r"cannot be read \(No such device\); make it usable, or name another place"
    with pytest.raises(StorageError, match=told), naming_failures(tmp_path, "read"):
        raise OSError(errno.ENODEV, "")


def test_an_error_without_a_number_tells_its_first_line(tmp_path):
    with (
        pytest.raises(StorageError, match=r"cannot be read \(a line\); make it usable"),
        naming_failures(tmp_path, "read"),
    ):
        raise OSError("a line\nand another")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Error while serializing: I/O error: File too large (os error 27)", r"\(File too large\); raise the limit"),
        ("I/O error: No space left on device (os error 28)", r"\(No space left on device\); make room on the disk"),
        ("something else", r"\(something else\); make it usable"),
    ],
)
def test_errors_of_safetensors_are_those_of_the_disk(tmp_path, text, told):
    with pytest.raises(StorageError, match=told), naming_failures(tmp_path, "written"):
        raise SafetensorError(text)


@pytest.mark.parametrize("error", [DataError("mine"), ValueError("a bug"), KeyboardInterrupt()], ids=repr)
def test_what_is_no_failure_of_a_disk_stays_what_it_is(tmp_path, error):
    with pytest.raises(type(error)) as caught, naming_failures(tmp_path, "read"):
        raise error
    assert caught.value is error

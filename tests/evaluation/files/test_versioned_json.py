from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from ensemble_uq_llm.errors import IntegrityError
from ensemble_uq_llm.evaluation.files.versioned_json import VersionedJson


@dataclass(frozen=True)
class Point:
    x: float
    names: tuple[str, ...] = ()


FORM = VersionedJson(adapter=TypeAdapter(Point), version=3, remedy="draw it again")


def test_numbers_are_read_as_they_were(tmp_path):
    for x in (0.1 + 0.2, 1e-300, 3.0):
        FORM.write(tmp_path / "x.json", Point(x, ("a", "b")))
        assert FORM.read(tmp_path / "x.json") == Point(x, ("a", "b"))


def test_the_version_comes_first_and_defaults_are_left_out():
    assert list(FORM.as_json(Point(1.5)).items()) == [("schema_version", 3), ("x", 1.5)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "this is no JSON"),
        ("[1]", "this is no JSON object"),
        ('{"x": 1}', "schema_version is 1, and this version reads 3"),
        ('{"schema_version": "3", "x": 1}', "schema_version is '3', and this version reads 3"),
        ('{"schema_version": 3}', "x: Field required"),
        ('{"schema_version": 3, "x": 1, "names": ["a", 2]}', r"names\.1: Input should be a valid string"),
    ],
)
def test_what_cannot_be_used_is_refused_with_file_and_remedy(tmp_path, text, message):
    path = tmp_path / "x.json"
    path.write_text(text)

    with pytest.raises(IntegrityError, match=rf"x\.json: {message}.*; draw it again"):
        FORM.read(path)


def test_a_file_that_is_not_there():
    with pytest.raises(IntegrityError, match=r"gone\.json: there is no such file; draw it again"):
        FORM.read(Path("gone.json"))

from pathlib import Path

import pytest

from ensemble_uq_llm.comparing.compared_names import LONGEST, baseline_first, names_of
from ensemble_uq_llm.errors import ConfigError


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["runs/a", "runs/b.csv"], ["a", "b.csv"]),
        (["x/run", "y/run", "z/other"], ["x/run", "y/run", "other"]),
        (["1/x/run", "2/x/run"], ["1/x/run", "2/x/run"]),
        (["a", "a", "a (2)"], ["a", "a (2)", "a (2) (2)"]),
        ([f"{'n' * 90}{end}" for end in "ab"], [f"...{'n' * (LONGEST - 4)}{end}" for end in "ab"]),
        ([f"{end}{'n' * 90}" for end in "ab"], [f"...{'n' * (LONGEST - 3)}", f"...{'n' * (LONGEST - 3)} (2)"]),
    ],
)
def test_no_two_names_are_alike_and_none_is_longer_than_it_need_be(paths, names):
    assert names_of([Path("/", path) for path in paths]) == names
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("baseline", ["b", "runs/b", "runs/b/"])
def test_the_baseline_comes_first(baseline):
    paths = [Path("runs", name) for name in "abc"]
    assert baseline_first(paths, baseline) == [Path("runs", name) for name in "bac"]
    assert baseline_first(paths, str(paths[1].absolute())) == [Path("runs", name) for name in "bac"]
    assert baseline_first(paths, None) == paths


def test_a_baseline_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match=r"--baseline 'firts': it is not among the runs; did you mean 'first'\?"):
        baseline_first([Path("runs/first"), Path("runs/second")], "firts")
    with pytest.raises(ConfigError, match="name one of 'first', 'second'"):
        baseline_first([Path("runs/first"), Path("runs/second")], "xyz")

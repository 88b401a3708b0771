from dataclasses import asdict, replace
from pathlib import Path

import pytest

from ensemble_uq_llm.errors import IntegrityError
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.samples.posterior_record import (
    POSTERIOR,
    PosteriorRecord,
    has_looked_at,
    posterior_folder,
    posterior_of,
    title_of,
)
from small_runs import put

RECORD = PosteriorRecord(
    maker="tfb", settings={"tolerance": 0.003}, samples=10, generator_seed=0,
    parents={f"seed_{seed}": f"weights of {seed}" for seed in range(4)}, parent_run="/runs/first", seconds=3.5,
)  # fmt: skip


def test_it_is_read_as_it_was_written():
    assert posterior_of({POSTERIOR: asdict(RECORD)}) == RECORD
    assert posterior_of({"stages": []}) is None


@pytest.mark.parametrize("odd", [None, 7, "x", [], {}, asdict(RECORD) | {"samples": None}])
def test_another_form_is_refused(odd):
    with pytest.raises(IntegrityError, match=r"run\.json: posterior.* is not what a maker writes; restore the file"):
        posterior_of({POSTERIOR: odd})


def test_what_a_maker_has_looked_at_stands_in_its_samples(tmp_path):
    folder, member = RunFolder(tmp_path), MemberId(1, 1)
    put(folder, folder.member_record(member), {"facts": {"sigma": 0.1, "anchor_digest": "calibration"}})
    put(folder, folder.run_record, {"stages": []})
    assert not has_looked_at(folder, "calibration")  # members that were trained are no samples
    put(folder, folder.run_record, {"stages": [], POSTERIOR: asdict(RECORD)})
    assert has_looked_at(folder, "calibration")
    assert not has_looked_at(folder, "training")
    folder.member_record(member).write_text("{}")
    with pytest.raises(IntegrityError, match="altered after it was written"):
        has_looked_at(folder, "calibration")


def test_a_row_passes_once_for_each_sample_of_each_member():
    assert RECORD.passes == 40


def test_the_same_samples_are_those_of_the_same_making():
    assert RECORD.is_made_like(replace(RECORD, seconds=9.0, parent_run="/moved/first"))
    other = [{"samples": 9}, {"generator_seed": 1}, {"settings": {}}, {"maker": "x"}, {"parents": {"seed_0": "other"}}]
    assert not any(RECORD.is_made_like(replace(RECORD, **changes)) for changes in other)


def test_few_members_and_few_samples_are_warned_of():
    assert list(RECORD.cautions()) == []
    three = replace(RECORD, parents={"seed_1": "a", "seed_2": "b", "seed_3": "c"})
    [caution] = three.cautions()
    assert caution.startswith("mutual information over samples of 3 trained members tells other data worse than")
    [caution] = replace(RECORD, samples=4).cautions()
    assert caution == "4 samples of a member show 75% of the spread that its maker gives it; ask for 5 or more"


def test_it_lies_beside_the_run_and_is_called_what_it_is(tmp_path):
    assert posterior_folder(Path("runs/first"), "tfb") == Path("runs/first_tfb")
    folder = RunFolder(tmp_path)
    assert title_of(folder) is None
    put(folder, folder.run_record, {"stages": [], POSTERIOR: asdict(RECORD)})
    assert title_of(folder) == "samples made by tfb of the members of /runs/first"
    put(folder, folder.run_record, {"stages": [], POSTERIOR: asdict(replace(RECORD, parent_run=None))})
    assert title_of(folder) == "samples made by tfb of given adapters"

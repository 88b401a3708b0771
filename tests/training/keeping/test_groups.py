import pytest

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.errors import ConfigError, IntegrityError
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.training.keeping.groups import TRAINING, Groups, check_nothing_is_lost, interrupted

THREE = Groups(id="x", seeds=((1, 4), (2,), (3,)))


def test_new_groups_have_names_of_their_own():
    first, second = Groups.new([1, 2, 3], 2), Groups.new([1, 2, 3], 2)
    assert first.seeds == second.seeds == ((1, 3), (2,))
    assert first.id != second.id


def test_the_record_gives_back_what_it_was_given():
    assert interrupted({TRAINING: THREE.as_json()}) == THREE
    assert interrupted({"stages": []}) is None


@pytest.mark.parametrize("told", [7, {}, {"id": "x"}, {"id": "x", "groups": 3}, {"id": "x", "groups": [["a"]]}])
def test_a_record_that_says_nothing_of_ours_is_refused(told):
    with pytest.raises(IntegrityError, match=r"run\.json: its unfinished training cannot be read"):
        interrupted({TRAINING: told})


def test_groups_keep_their_numbers_whatever_is_done():
    assert THREE.numbered([4, 3]) == {0: (1, 4), 2: (3,)}
    left = THREE.only([2])
    assert left is not None
    assert left.numbered([1, 2, 3, 4]) == {1: (2,)}
    assert THREE.only([]) is None


def test_what_is_kept_of_members_that_are_not_asked_for_is_not_left_aside(tmp_path):
    config = Config(seeds=(2, 3), output_dir=tmp_path)
    check_nothing_is_lost(THREE, config)
    RunFolder(tmp_path).group_checkpoints(1).mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"seeds \[1, 4\] together, .* asked for now \(\[2, 3\]\)"):
        check_nothing_is_lost(THREE, config)

"""Who a member is, in folders and in messages."""

import numpy as np
import pytest

from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.member import MemberId, member_of_folder, trained


@pytest.mark.parametrize(
    ("member", "folder", "title"),
    [
        (MemberId(42), "seed_42", "seed 42"),
        (MemberId(0), "seed_0", "seed 0"),
        (MemberId(42, 3), "seed_42_sample_3", "seed 42, sample 3"),
    ],
)
def test_folder_and_title(member, folder, title):
    assert (member.folder_name, member.title) == (folder, title)
    assert member_of_folder(folder) == member


@pytest.mark.parametrize(
    "name",
    [
        "seed_",
        "seed_042",
        "seed_-1",
        "seed_1_sample_0",
        "seed_1_sample_",
        "x_seed_1",
        "seed_1_2",
        "seed_1\N{ARABIC-INDIC DIGIT TWO}",
    ],
)
def test_a_folder_of_another_name_is_no_members(name):
    assert member_of_folder(name) is None


def test_training_makes_sample_0_and_members_sort_by_seed_then_sample():
    assert trained([3, 1]) == (MemberId(3, 0), MemberId(1, 0))
    assert sorted([MemberId(2), MemberId(1, 2), MemberId(1)]) == [MemberId(1), MemberId(1, 2), MemberId(2)]


@pytest.mark.parametrize("numbers", [(-1,), (True,), (1.0,), ("1",), (None,), (1, -1), (1, False)])
def test_a_member_has_whole_numbers_of_at_least_0(numbers):
    with pytest.raises(ConfigError, match=r"MemberId: (seed|sample) must be a whole number of at least 0, found "):
        MemberId(*numbers)


def test_a_seed_of_numpy_names_the_same_member():
    assert MemberId(np.int64(42), np.int64(3)).folder_name == MemberId(42, 3).folder_name

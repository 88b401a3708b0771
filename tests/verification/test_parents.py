import pytest

from ensemble_uq_llm.run_folder import MEMBER_WEIGHTS
from ensemble_uq_llm.utils.files import sha256_of
from ensemble_uq_llm.utils.text import clipped
from ensemble_uq_llm.verification.audit import Audit
from ensemble_uq_llm.verification.parents import check_parents


@pytest.fixture
def parent(tmp_path):
    folder = tmp_path / "first" / "seed_42"
    folder.mkdir(parents=True)
    (folder / MEMBER_WEIGHTS).write_bytes(b"trained")
    return folder


def _checked(tmp_path, *parents):
    into = Audit(folder=tmp_path)
    check_parents([{"parent": each} for each in parents], into)
    return into


def _lineage(folder):
    return {"folder": str(folder), "weights_sha256": sha256_of(folder / MEMBER_WEIGHTS)}


def test_a_parent_is_checked_once_for_all_its_samples(parent, tmp_path):
    found = _checked(tmp_path, _lineage(parent), _lineage(parent))
    assert found.is_sound
    assert found.checked == {"parent": 1}


def test_a_parent_of_other_weights_is_found(parent, tmp_path):
    before = _lineage(parent)
    (parent / MEMBER_WEIGHTS).write_bytes(b"trained again")
    [line] = _checked(tmp_path, before).lines()
    assert line.startswith(f"{parent / MEMBER_WEIGHTS}: not the weights any more that the samples here were made of")


def test_a_parent_that_is_gone_is_not_checked_and_that_is_said(parent, tmp_path):
    before = _lineage(parent)
    (parent / MEMBER_WEIGHTS).unlink()
    found = _checked(tmp_path, before)
    assert found.is_sound
    assert found.unchecked == [f"the parent {clipped(str(parent))}: it is not there any more"]


@pytest.mark.parametrize("strange", [None, "seed_42", {}, {"folder": 3, "weights_sha256": "a"}, {"folder": "a"}])
def test_members_that_were_trained_have_no_parent(strange, tmp_path):
    found = _checked(tmp_path, strange)
    assert found.is_sound
    assert not found.unchecked
    assert not found.checked

import pytest

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.predictions.zero_shot_config import ZERO_SHOT, is_zero_shot, zero_shot_config, zero_shot_folder
from ensemble_uq_llm.run_folder import RunFolder
from small_runs import put


@pytest.fixture
def baseline(tmp_path):
    folder = RunFolder(tmp_path / "first_zero_shot")
    put(folder, folder.run_record, {"stages": [], ZERO_SHOT: True})
    return folder


def test_the_baseline_lies_beside_the_run_and_is_its_own_baseline(tmp_path, baseline):
    assert zero_shot_folder(tmp_path / "first") == baseline.root
    assert zero_shot_folder(baseline.root) == baseline.root
    assert is_zero_shot(baseline)


def test_a_run_that_is_only_called_so_is_none(tmp_path):
    run = tmp_path / "my_zero_shot"
    assert zero_shot_folder(run) == tmp_path / "my_zero_shot_zero_shot"
    assert not is_zero_shot(RunFolder(run))


def test_it_is_asked_by_the_answer_head_with_its_mass_and_else_as_the_run(tmp_path, baseline):
    config = Config(output_dir=tmp_path / "first", max_length=99)
    asked = zero_shot_config(config)
    changed = {"head": "answer", "answer_mass": True, "output_dir": baseline.root}
    assert asked.model_dump() == {**config.model_dump(), **changed}
    assert zero_shot_config(asked) == asked

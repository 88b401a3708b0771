from pathlib import Path

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.predictions.zero_shot_config import zero_shot_config, zero_shot_folder


def test_the_baseline_lies_beside_the_run_and_is_its_own_baseline():
    assert zero_shot_folder(Path("runs/first")) == Path("runs/first_zero_shot")
    assert zero_shot_folder(Path("runs/first_zero_shot")) == Path("runs/first_zero_shot")


def test_it_is_asked_by_the_answer_head_with_its_mass_and_else_as_the_run():
    config = Config(output_dir="runs/first", max_length=99)
    asked = zero_shot_config(config)
    changed = {"head": "answer", "answer_mass": True, "output_dir": Path("runs/first_zero_shot")}
    assert asked.model_dump() == {**config.model_dump(), **changed}
    assert zero_shot_config(asked) == asked

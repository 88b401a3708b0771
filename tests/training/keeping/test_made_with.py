import json

import torch

from ensemble_uq_llm.data.job import Job
from ensemble_uq_llm.training.keeping.made_with import making_of
from small_runs import settings

CPU = torch.device("cpu")


def made(tiny_base, tiny_data, tmp_path, **changes):
    config = settings(tiny_base, tiny_data, tmp_path, **changes)
    return making_of([1, 2], config, job=Job(config), base_digest="b", device=CPU)


def test_what_cannot_matter_is_no_difference(tiny_base, tiny_data, tmp_path):
    free = {
        "bootstrap_draws": 300, "checkpoint_steps": 7, "checkpoint_minutes": 1, "resume": False, "num_gpus": 3,
        "log_to": "tensorboard", "output_dir": tmp_path / "other", "seeds": (1, 2, 9),
    }  # fmt: skip
    one, other = made(tiny_base, tiny_data, tmp_path), made(tiny_base, tiny_data, tmp_path, **free)
    assert one == other
    assert json.loads(json.dumps(one.must_agree))["seeds"] == [1, 2]


def test_settings_data_and_the_splits_must_agree_and_the_budget_is_of_the_environment(tiny_base, tiny_data, tmp_path):
    plain = made(tiny_base, tiny_data, tmp_path)
    for key, changes in {
        "learning_rate": {"learning_rate": 5e-3},
        "num_epochs": {"num_epochs": 3},
        "training data": {"max_train_examples": 7},
    }.items():
        other = made(tiny_base, tiny_data, tmp_path, **changes)
        assert [name for name in plain.must_agree if plain.must_agree[name] != other.must_agree[name]] == [key]
    other = made(tiny_base, tiny_data, tmp_path, tokens_per_pass=99)
    assert other.must_agree == plain.must_agree
    assert other.environment != plain.environment

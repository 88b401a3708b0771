import json

from ensemble_uq_llm.report.sections.making import making
from ensemble_uq_llm.report.source import read_source
from recording import recorded
from small_metrics import main_metrics, write_run


def test_stages_versions_and_configuration(tmp_path):
    folder = write_run(tmp_path, main_metrics())
    stage = {"stage": "predict", "name": "validation", "seeds": [42, 43], "data_digest": "0bc3"}
    record = {"stages": [stage], "versions": {"torch": "9.9.9"}, "git_commit": None}
    folder.run_record.write_text(json.dumps(record))
    folder.config.write_text("lora_r: 4\n")
    recorded(folder)
    content = making(read_source(folder))

    assert content.stages == [("predict validation", [("seeds", "42, 43"), ("data_digest", "0bc3")])]
    assert content.record == [("versions.torch", "9.9.9"), ("git_commit", "null")]
    assert ("lora_r", "4") in content.settings


def stepped(step, **losses):
    return {"event": "Stepped", "step": step, "epoch": 1, "losses": losses}


def test_members_that_were_trained_here_have_learning_curves(tmp_path):
    folder = write_run(tmp_path, main_metrics(members=2))
    events = [stepped(step, **{"42": 1 / step, "43": 2 / step}) for step in range(1, 152)]
    validated = {"event": "EpochEnded", "epoch": 1, "validation_loss": {"42": 0.3, "43": 0.4}}
    folder.events.write_text("\n".join(json.dumps(event) for event in [*events, validated]))
    content = making(read_source(folder))
    training, validation = content.learning

    assert content.steps == 3
    # The first point is the mean of three steps, the last of the four that are left.
    first, last = (1 + 1 / 2 + 1 / 3) / 3, (1 / 148 + 1 / 149 + 1 / 150 + 1 / 151) / 4
    assert f"seed 42: {first:.3f} at optimiser step 2, {last:.3f} at optimiser step 150" in training.alternative
    assert "seed 43: 0.400 at epoch 1" in validation.alternative


def test_members_of_another_training_have_none(tmp_path):
    folder = write_run(tmp_path, main_metrics(members=2))
    folder.events.write_text(json.dumps(stepped(1, **{"7": 0.5})))
    folder.run_record.write_text('{"stages": [], "versions": {"python": "3.99"}}')
    recorded(folder)

    assert making(read_source(folder)).learning == []


def test_predictions_of_unknown_making_have_no_such_section(tmp_path):
    assert making(read_source(write_run(tmp_path, main_metrics()))) is None

import json

from ensemble_uq_llm.report.sections.making import making
from ensemble_uq_llm.report.source import read_source
from small_metrics import main_metrics, write_run


def test_stages_versions_and_configuration(tmp_path):
    folder = write_run(tmp_path, main_metrics())
    stage = {"stage": "predict", "name": "validation", "seeds": [42, 43], "data_digest": "0bc3"}
    record = {"stages": [stage], "versions": {"torch": "9.9.9"}, "git_commit": None}
    folder.run_record.write_text(json.dumps(record))
    folder.config.write_text("lora_r: 4\n")
    content = making(read_source(folder))

    assert content.stages == [("predict validation", [("seeds", "42, 43"), ("data_digest", "0bc3")])]
    assert content.record == [("versions.torch", "9.9.9"), ("git_commit", "null")]
    assert ("lora_r", "4") in content.settings


def test_predictions_of_unknown_making_have_no_such_section(tmp_path):
    assert making(read_source(write_run(tmp_path, main_metrics()))) is None

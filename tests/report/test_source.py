import json

import pytest

from ensemble_uq_llm.errors import ConfigError, DataError, IntegrityError
from ensemble_uq_llm.report.source import read_sets, read_source
from ensemble_uq_llm.run_folder import RunFolder
from recording import recorded
from small_metrics import main_metrics, shifted_metrics, write_run


@pytest.fixture
def folder(tmp_path):
    return write_run(tmp_path / "run", shifted_metrics("zebra"), shifted_metrics("ant"), main_metrics())


def test_the_main_set_comes_first_and_the_others_as_they_were_evaluated(folder):
    assert list(read_sets(folder)) == ["validation", "zebra", "ant"]
    source = read_source(folder)
    assert source.name == "validation"
    assert source.main.role == "main"
    assert list(source.others) == ["zebra", "ant"]


def test_configuration_and_record_may_be_absent(folder):
    source = read_source(folder)

    assert source.config is None
    assert source.record == {}
    assert source.class_labels == ("class 0", "class 1")


def test_the_configuration_names_the_classes_if_it_fits(folder):
    folder.config.write_text("class_names: [never, always]\n")
    assert read_source(folder).class_labels == ("never", "always")
    folder.config.write_text("num_labels: 3\nclass_names: [a, b, c]\n")
    assert read_source(folder).class_labels == ("class 0", "class 1")


def test_files_that_cannot_be_used_are_named(folder, tmp_path):
    with pytest.raises(DataError, match=r"metrics: no set has been evaluated"):
        read_source(RunFolder(tmp_path / "empty"))
    folder.config.write_text("lora_rr: 4\n")
    with pytest.raises(ConfigError, match="lora_rr"):
        read_source(folder)
    folder.config.unlink()
    for torn, words in (('{"torn": ', "this is no JSON"), ("[]", "this is no JSON object")):
        folder.run_record.write_text(torn)
        recorded(folder)
        with pytest.raises(IntegrityError, match=rf"run\.json: {words}"):
            read_source(folder)


@pytest.mark.parametrize("name", ["validation", "ant"])
def test_metrics_of_an_older_version_ask_for_another_evaluation(folder, name):
    folder.metrics(name).write_text(json.dumps({"n": 3, "ensemble": {}}))

    with pytest.raises(IntegrityError, match=rf"{name}\.json: schema_version is 1, .*; evaluate the run again"):
        read_source(folder)


@pytest.mark.parametrize("name", ["validation", "ant"])
def test_torn_metrics_are_named(folder, name):
    folder.metrics(name).write_text('{"name": ')

    with pytest.raises(IntegrityError, match=rf"{name}\.json: this is no JSON .*; evaluate the run again"):
        read_source(folder)


def test_what_an_older_version_left_of_other_sets_does_not_matter(folder):
    folder.metrics("aardvark").write_text(json.dumps({"name": "aardvark", "role": "main", "other_sets": []}))

    assert list(read_sets(folder)) == ["validation", "zebra", "ant"]


def test_metrics_without_a_main_set_ask_for_another_evaluation(folder):
    folder.metrics("validation").unlink()

    with pytest.raises(IntegrityError, match=r"ant\.json: no metrics here are those of a main set; evaluate"):
        read_source(folder)


def test_a_set_that_has_gone_is_named(folder):
    folder.metrics("ant").unlink()

    with pytest.raises(IntegrityError, match=r"ant\.json: there is no such file, but it was evaluated with the main"):
        read_source(folder)


def test_what_an_earlier_evaluation_left_is_no_part_of_this_one(folder):
    write_run(folder.root, shifted_metrics("old"))

    assert "old" not in read_sets(folder)


def test_a_file_that_is_being_written_is_not_read(folder):
    (folder.metrics("ant").parent / ".ant.json.0a1b.tmp.json").write_text("{")

    assert list(read_sets(folder)) == ["validation", "zebra", "ant"]


def test_two_main_sets_are_named_not_chosen_from(folder):
    metrics = json.loads(folder.metrics("validation").read_text())
    folder.metrics("b").write_text(json.dumps(metrics | {"name": "b"}))

    with pytest.raises(IntegrityError, match=r"metrics: there are several main sets, 'b', 'validation'; evaluate one"):
        read_sets(folder)

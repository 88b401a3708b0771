import json
import shutil
from dataclasses import replace

import pytest

from ensemble_uq_llm import compare, compare_runs
from ensemble_uq_llm.comparing.runs_to_compare import read_run, read_runs
from ensemble_uq_llm.errors import ConfigError, DataError, IntegrityError
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.predictions.parquet import read_predictions, write_predictions
from recording import recorded
from small_predictions import left_out_of, predicted

pytestmark = pytest.mark.filterwarnings("ignore:.*do not tell the digests of their members:UserWarning")


def with_sets(run, **numbers):
    """Put further sets of a run beside its own: of the same members, but other questions."""
    own = read_predictions(run / "predictions" / "validation.parquet")
    for name, first in numbers.items():
        other = replace(own, ids=tuple(f"{name} {i}" for i in range(len(own.ids))), logits_MNC=own.logits_MNC + first)
        write_predictions(run / "predictions" / f"{name}.parquet", other)
    recorded(run)
    return run


def test_of_a_run_its_facts_its_split_and_its_shifted_sets_are_read(own_run):
    run = read_run(with_sets(own_run, calibration=0, news=0), "mine", name="validation", shifts=["news", "absent"])
    assert (run.name, run.facts.maker, run.facts.trained_members, run.facts.passes) == ("mine", "training", 2, 2)
    assert run.facts.training_seconds > 0
    assert run.calibration_rows == run.protocol.calibration_rows == 24
    assert list(run.shifted) == ["news"]
    assert run.protocol.learning_rate == 2e-4
    assert "mutual information over 2 members" in run.cautions[0]


def test_the_calibration_split_is_told_of_in_the_protocols_of_two_runs(own_run, tmp_path):
    other = shutil.copytree(own_run, tmp_path / "other")
    beside = compare(with_sets(own_run, calibration=0), other, draws=0).protocols
    assert (beside.a.calibration_rows, beside.b.calibration_rows) == (24, 0)
    assert "calibration_rows" in beside.differs_in


def test_compared_examples_are_no_calibration_examples(own_run):
    validation = own_run / "predictions" / "validation.parquet"
    shutil.copy(validation, own_run / "predictions" / "calibration.parquet")
    recorded(own_run)
    with pytest.raises(DataError, match="24 of 24 test examples are calibration examples too"):
        read_run(own_run, "mine", name="validation")
    assert read_run(own_run, "mine", name="calibration").split is None


def test_a_set_by_other_members_is_refused(own_run):
    with_sets(own_run, news=0)
    path = own_run / "predictions" / "news.parquet"
    write_predictions(path, replace(read_predictions(path), members=(MemberId(42), MemberId(7))))
    recorded(own_run)
    with pytest.raises(DataError, match="1 of 2 predicted sets is stale"):
        read_run(own_run, "mine", name="validation", shifts=["news"])


def test_rows_out_of_bags_are_not_compared(tmp_path):
    fresh, bagged = tmp_path / "fresh.parquet", tmp_path / "bagged.parquet"
    write_predictions(fresh, predicted(n=30))
    write_predictions(bagged, left_out_of(predicted(n=30), out=1))
    with pytest.raises(DataError, match=r"bagged\.parquet: training rows, each by the members that left it out"):
        compare_runs([fresh, bagged])
    with pytest.raises(DataError, match="training rows, each by the members that left it out"):
        compare(fresh, bagged)


def test_a_shifted_set_that_no_run_has_is_refused(own_run):
    with pytest.raises(DataError, match="--shift 'nwes': no run has predicted such a set"):
        read_runs([own_run, own_run], name="validation", shifts=["nwes"])


def test_predictions_files_and_runs_stand_beside_each_other_in_python(own_run, tmp_path):
    given = predicted(n=24)
    labels = read_predictions(own_run / "predictions" / "validation.parquet")
    path = tmp_path / "theirs.parquet"
    write_predictions(path, replace(given, ids=labels.ids, labels=labels.labels))
    table = compare_runs([own_run, path, replace(given, ids=labels.ids)], draws=50)
    assert [run.facts.name for run in table.runs] == ["own", "theirs.parquet", "predictions 3"]
    assert [run.facts.path for run in table.runs] == [str(own_run), str(path), None]
    with pytest.raises(ConfigError, match="1 run given; name 2 to 20"):
        compare_runs([own_run])


def test_a_torn_record_is_not_read_over(own_run):
    record = json.loads((own_run / "run.json").read_text())
    record["posterior"] = {"maker": 3}
    (own_run / "run.json").write_text(json.dumps(record))
    recorded(own_run)
    with pytest.raises(IntegrityError, match=r"posterior\.maker is not what a maker writes"):
        read_run(own_run, "mine", name="validation")

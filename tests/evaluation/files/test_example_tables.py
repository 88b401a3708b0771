import csv
import sys

import pandas as pd
import pytest

from ensemble_uq_llm.errors import MissingExtraError
from ensemble_uq_llm.evaluation.evaluate import evaluate
from ensemble_uq_llm.evaluation.files.example_tables import write_scores, write_uncertainty
from ensemble_uq_llm.evaluation.scores import SCORES
from small_predictions import predicted, unlabelled

MEASURES = ["variance", "entropy", "expected_entropy", "mutual_information", "disagreement"]
COLUMNS = ["id", "label", "prediction", "confidence", "p_0", "p_1", *MEASURES]


@pytest.fixture(scope="module")
def evaluation():
    return evaluate(unlabelled(predicted(n=30), first=10), draws=0)


def rows_of(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_table_of_uncertainties_has_the_columns_of_the_contract(tmp_path, evaluation):
    write_uncertainty(tmp_path / "x.csv", evaluation.predictions, evaluation.uncertainty)
    rows = rows_of(tmp_path / "x.csv")

    assert list(rows[0]) == COLUMNS
    assert [row["id"] for row in rows] == list(evaluation.predictions.ids)
    assert [row["label"] for row in rows] == [
        "" if label is None else str(label) for label in evaluation.predictions.labels
    ]
    for name in ("confidence", *MEASURES):
        assert [float(row[name]) for row in rows] == getattr(evaluation.uncertainty, f"{name}_N").tolist()
    assert [float(row["p_1"]) for row in rows] == evaluation.uncertainty.probs_NC[:, 1].tolist()


def test_the_table_of_scores_has_every_score(tmp_path, evaluation):
    write_scores(tmp_path / "x.csv", evaluation.predictions, evaluation.uncertainty)
    rows = rows_of(tmp_path / "x.csv")

    assert list(rows[0]) == ["id", *(score.name for score in SCORES)]
    assert [row["id"] for row in rows] == list(evaluation.predictions.ids)
    for score in SCORES:
        assert [float(row[score.name]) for row in rows] == score.of(evaluation.uncertainty).tolist()


def test_the_frame_is_the_table_of_uncertainties(tmp_path, evaluation):
    write_uncertainty(tmp_path / "x.csv", evaluation.predictions, evaluation.uncertainty)
    rows, frame = rows_of(tmp_path / "x.csv"), evaluation.to_frame()

    assert list(frame.columns) == COLUMNS
    assert frame["id"].tolist() == [row["id"] for row in rows]
    assert ["" if label is pd.NA else str(label) for label in frame["label"]] == [row["label"] for row in rows]
    for name in COLUMNS[2:]:
        assert frame[name].tolist() == [float(row[name]) for row in rows]


def test_without_pandas_it_is_named(monkeypatch, evaluation):
    monkeypatch.setitem(sys.modules, "pandas", None)

    with pytest.raises(MissingExtraError, match=r"^pandas is not installed, .*ensemble-uq-llm\[pandas\]"):
        evaluation.to_frame()

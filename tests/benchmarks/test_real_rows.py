import json

from real.rows import as_boolq, draw_rows, rows_of, split_by_passage


def test_rows_are_drawn_alike_every_time_in_the_order_of_the_file(tmp_path):
    source = tmp_path / "all.jsonl"
    source.write_text("".join(f'{{"n": {n}}}\n' for n in range(100)))
    path = draw_rows(source, 30, tmp_path / "some" / "train")
    assert path.name == "train_30.jsonl"
    drawn = [row["n"] for row in rows_of(path)]
    assert drawn == sorted(set(drawn))
    assert len(drawn) == 30
    assert drawn != list(range(30))
    again = draw_rows(source, 30, tmp_path / "again")
    assert again.read_bytes() == path.read_bytes()


def test_all_rows_where_there_are_no_more(tmp_path):
    source = tmp_path / "all.jsonl"
    source.write_text('{"n": 0}\n\n{"n": "\u2028"}\n', encoding="utf-8")
    for most in (None, 2, 9):
        path = draw_rows(source, most, tmp_path / f"out_{most}" / "test")
        assert path.name == "test_2.jsonl"
        assert [row["n"] for row in rows_of(path)] == [0, "\u2028"]


def test_boolq_is_split_by_whether_a_training_row_has_the_passage():
    train = [{"passage": "Ants  are insects.\n"}, {"passage": "Rome fell."}]
    test = [{"passage": text} for text in ("ants are insects.", "Rome did not fall.", "Rome fell.", "Ants are insects")]
    new, seen = split_by_passage(train, test)
    assert new == [1, 3]
    assert seen == [0, 2]


def test_nothing_is_seen_without_training_rows():
    assert split_by_passage([], [{"passage": "Rome fell."}]) == ([0], [])


def test_rte_in_the_columns_of_boolq_has_no_answer():
    row = {"premise": "It rains.", "hypothesis": "It is wet.", "label": "entailment"}
    assert as_boolq(row) == {"passage": "It rains.", "question": "it is wet"}
    assert json.dumps(as_boolq(row))

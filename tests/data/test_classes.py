import datasets
import pytest

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.config_file import config_to_yaml, load_config
from ensemble_uq_llm.data.classes import class_counts, with_classes
from ensemble_uq_llm.data.example import Example
from ensemble_uq_llm.errors import ConfigError, DataError


def written(folder, *labels, name="rows.csv"):
    (folder / name).write_text("text,mood\n" + "".join(f"a,{label}\n" for label in labels), encoding="utf-8")
    return folder / name


def config(path, **more):
    return Config(train_file=path, label_column="mood", prompt_template="{text}", class_names="from_data", **more)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["good", "bad", "good", ""], ("bad", "good")),
        (["10", "9", "9", "other"], ("9", "10", "other")),
        (["True", "FALSE", "true"], ("false", "true")),
        (["1.0", "0", "1"], ("0", "1")),
    ],
)
def test_the_classes_are_the_sorted_labels(tmp_path, labels, names):
    resolved = with_classes(config(written(tmp_path, *labels)))
    assert (resolved.class_names, resolved.num_labels) == (names, len(names))
    assert with_classes(resolved) is resolved


def test_the_resolved_configuration_is_read_back(tmp_path):
    resolved = with_classes(config(written(tmp_path, "b", "a")))
    (tmp_path / "c.yaml").write_text(config_to_yaml(resolved), encoding="utf-8")
    assert load_config(tmp_path / "c.yaml") == resolved


def test_classes_of_a_named_data_set_and_of_a_file_that_names_them(tmp_path):
    assert with_classes(Config(dataset="synthetic", class_names="from_data")).class_names == ("no", "yes")
    features = datasets.Features(text=datasets.Value("string"), mood=datasets.ClassLabel(names=["up", "down"]))
    rows = datasets.Dataset.from_dict({"text": ["a", "b"], "mood": [0, 1]}, features=features)
    rows.to_parquet(tmp_path / "rows.parquet")
    assert with_classes(config(tmp_path / "rows.parquet")).class_names == ("down", "up")


def test_labels_that_are_no_classes(tmp_path):
    for labels, message in [
        (["a", "a"], r"the labels of label_column are 'a'; class_names: from_data needs two or more"),
        ([""], "needs two or more classes"),
        (range(60), "are 60 different ones on 60 rows, so no classes; is it another column"),
    ]:
        with pytest.raises(DataError, match=message):
            with_classes(config(written(tmp_path, *labels)))
    (tmp_path / "rows.jsonl").write_text('{"text": "a", "mood": [1]}\n{"text": "a", "mood": "x"}\n')
    with pytest.raises(DataError, match=r"cannot be classes .*: \[1\] is neither text nor a number"):
        with_classes(config(tmp_path / "rows.jsonl"))
    with pytest.raises(DataError, match=r"no row has the field 'moood'; did you mean 'mood'.*see label_column"):
        with_classes(config(written(tmp_path, "a", "b")).model_copy(update={"label_column": "moood"}))
    with pytest.raises(DataError, match=r"(?s)no row has the field 'txt'.*see prompt_template\n.*see label_column"):
        with_classes(Config(train_file=tmp_path / "rows.csv", prompt_template="{txt}", class_names="from_data"))


def test_another_number_of_classes_is_a_contradiction(tmp_path):
    path = written(tmp_path, "a", "b", "c")
    assert with_classes(config(path, num_labels=3)).num_labels == 3
    with pytest.raises(ConfigError, match="num_labels: 2, and the training data have 3 classes, 'a', 'b', 'c'"):
        with_classes(config(path, num_labels=2))


def test_an_unresolved_configuration_never_means_two_classes(tmp_path):
    with pytest.raises(ConfigError, match="class_names: from_data is not resolved"):
        _ = config(written(tmp_path, "a", "b")).class_labels


def test_examples_are_counted_by_class():
    examples = [Example(id=str(i), fields={}, label=label) for i, label in enumerate([0, 2, 2, None])]
    assert class_counts(examples, ["a", "b", "c"]) == {"a": 1, "b": 0, "c": 2}

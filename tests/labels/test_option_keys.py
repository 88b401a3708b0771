import pytest

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.errors import ConfigError

SHOWN = {"prompt_template": "{question}\n{options}\nAnswer:"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"option_columns": ["choices"]}, r"option_columns: is for multiple choice, .* write \{options\} where they"),
        ({"answer_form": "index"}, r"answer_form: is for multiple choice, and prompt_template does not show"),
        ({**SHOWN, "option_columns": ["a", "b", "a"]}, r"option_columns: 'a' given more than once"),
        ({**SHOWN, "num_labels": 27}, r"num_labels: 27, and there are letters for 26 options at most; lower it"),
        ({**SHOWN, "cut_column": "options"}, r"cut_column: options are never cut; name another column, or null"),
        (
            {**SHOWN, "answer_form": "ltter"},
            r"answer_form: must be 'letter', 'index', 'number' or 'text'",
        ),
    ],
)
def test_keys_that_cannot_work(changes, message):
    with pytest.raises(ConfigError, match=message):
        Config(**changes)


def test_the_classes_of_multiple_choice_are_letters():
    assert Config(**SHOWN, num_labels=4).class_labels == ("A", "B", "C", "D")
    assert Config(**SHOWN).class_labels == ("A", "B")
    assert Config().class_labels == ("no", "yes")

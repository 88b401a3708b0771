"""docs/data.md: the examples of what a label means, and the file endings, are those of the code."""

import re
from dataclasses import fields

import pytest
import yaml

from documents import ROOT
from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.reading.data_files import READERS
from ensemble_uq_llm.data.repeats import Repeats
from ensemble_uq_llm.labels.class_names import ClassNames, NotAClassError

PAGE = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^\| `(\[.*\])` \| `(.*)` \| (.*) \|$", PAGE, re.MULTILINE)


def test_there_are_examples():
    assert len(EXAMPLES) > 8


@pytest.mark.parametrize(("names", "label", "meaning"), EXAMPLES)
def test_a_label_means_what_the_page_says(names, label, meaning):
    config = Config(class_names=yaml.safe_load(names.replace("yes", "'yes'").replace("no", "'no'")))
    try:
        found = config.class_labels[ClassNames(config.class_labels).index_of(label)]
    except NotAClassError:
        found = "refused"
    assert found == meaning


def test_every_ending_and_every_count_is_on_the_page():
    endings = {
        ending for cell in re.findall(r"^\| (`\..*?) \|", PAGE, re.MULTILINE) for ending in cell.split("`")[1::2]
    }
    assert endings == set(READERS)
    assert all(f"| `{field.name}`:" in PAGE for field in fields(Repeats))

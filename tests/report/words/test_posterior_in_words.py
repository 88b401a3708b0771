import pytest

from ensemble_uq_llm.errors import IntegrityError
from ensemble_uq_llm.report.source import read_source
from ensemble_uq_llm.report.verdict import verdict
from ensemble_uq_llm.report.words.posterior_in_words import posterior_in_words
from recording import recorded
from small_metrics import main_metrics, write_run
from small_runs import put

RECORD = {
    "posterior": {
        "maker": "tfb", "settings": {}, "samples": 10, "generator_seed": 0, "seconds": 12.34,
        "parents": {f"seed_{seed}": "w" for seed in range(4)},
    }
}  # fmt: skip


def test_maker_samples_and_cost_are_said():
    assert posterior_in_words(RECORD) == [
        "Its members are samples: 10 samples by tfb of each of 4 trained members. Making them took 12.3 s, and an "
        "answer takes 40 passes through the model."
    ]


def test_members_that_were_trained_need_no_sentence():
    assert posterior_in_words({"stages": []}) == []


def test_few_members_and_few_samples_are_warned_of():
    few = {"posterior": RECORD["posterior"] | {"samples": 2, "parents": {"seed_1": "w"}}}
    made, members, samples = posterior_in_words(few)
    assert "2 samples by tfb of each of 1 trained member." in made
    assert members.startswith("Beware: mutual information over samples of 1 trained member tells other data worse")
    assert samples == "Beware: 2 samples of a member show 50% of the spread that its maker gives it; ask for 5 or more."


def test_a_record_of_another_form_is_named():
    with pytest.raises(IntegrityError, match=r"run\.json: posterior\.samples is not what a maker writes; restore"):
        posterior_in_words({"posterior": RECORD["posterior"] | {"samples": "many"}})


def test_the_verdict_of_the_report_says_it(tmp_path):
    folder = write_run(tmp_path, main_metrics())
    put(folder, folder.run_record, {"stages": [], **RECORD})
    recorded(folder)
    assert "10 samples by tfb of each of 4 trained members" in verdict(read_source(folder)).striptags()

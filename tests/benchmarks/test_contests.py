import numpy as np
import pytest

from posterior_bench.contests import ENTROPY, MUTUAL_INFORMATION, QUALITIES, contests, settle, value_of, verdict
from posterior_bench.methods import contenders, methods

KL, BY_NAME = "truth/kl", {quality.name: quality for quality in QUALITIES}
REPLACES = next(each for each in contests() if "replace" in each.title)
ADDS = next(each for each in contests() if "add" in each.title)


def records(sets=5, *, change=None, seed=0):
    """What training sets differ in, the same for all methods, and `change` of one of them."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(sets):
        luck = rng.normal(scale=0.5)
        own = {
            method.name: {quality.name: luck + rng.normal(scale=0.01) for quality in QUALITIES} for method in methods()
        }
        for name, amount in (change or {}).items():
            own[name][KL] += amount
        found.append({"methods": own})
    return found


def test_a_planted_gain_is_found_and_nothing_else():
    settled = settle(ADDS, records(change={"tfb_all": -0.2}))[KL]
    assert verdict(settled["tfb_all"], BY_NAME[KL]) == "better"
    assert {verdict(each, BY_NAME[KL]) for name, each in settled.items() if name != "tfb_all"} == {"nothing shows"}
    worse = settle(ADDS, records(change={"tfb_all": 0.2}))[KL]["tfb_all"]
    assert verdict(worse, BY_NAME[KL]) == "worse"


def test_where_higher_is_better_more_is_better():
    settled = settle(ADDS, records(change={"tfb_all": 0.2}))[KL]["tfb_all"]
    assert verdict(settled, BY_NAME[ENTROPY]) == "better"


def test_the_difference_is_paired_so_a_training_sets_luck_is_none_of_it():
    found = settle(REPLACES, records())[KL]["tfb_one"]
    low, high = found.ci95
    assert high - low < 0.1  # that luck spreads by 0.5


def test_a_maker_is_compared_on_the_sets_on_which_it_was_made():
    some = records(6)
    for record in some[:2]:
        del record["methods"]["swag_one"]
    settled = settle(REPLACES, some)[KL]
    assert (settled["swag_one"].sets, settled["tfb_one"].sets) == (4, 6)
    for record in some:
        record["methods"].pop("swag_one", None)
    assert "swag_one" not in settle(REPLACES, some)[KL]


def test_mutual_information_must_beat_the_entropy_where_nothing_disagrees():
    record = {
        "methods": {
            "first_temperature": {ENTROPY: 0.8},
            "ensemble": {ENTROPY: 0.85, MUTUAL_INFORMATION: 0.9},
            "ensemble_temperature": {ENTROPY: 0.85},
            "tfb_one": {ENTROPY: 0.8, MUTUAL_INFORMATION: 0.6},
        }
    }
    expected = {"first_temperature": 0.8, "ensemble_temperature": 0.9, "tfb_one": 0.6, "swag_one": None}
    assert {name: value_of(record, name, MUTUAL_INFORMATION) for name in expected} == expected


def test_every_maker_of_the_package_is_asked_about():
    asked = {method.name for contest in contests() for method in contest.contenders}
    assert asked == {method.name for method in contenders()} | {"ensemble_temperature"}
    names = [method.name for method in methods()]
    assert len(names) == len(set(names))
    assert {method.baseline for method in methods()} <= set(names)


@pytest.mark.parametrize("contest", contests(), ids=lambda contest: contest.title[:20])
def test_no_method_is_compared_with_itself(contest):
    assert all((contest.baseline or method.baseline) != method.name for method in contest.contenders)

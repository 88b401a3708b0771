import numpy as np
import pytest

from ensemble_uq_llm.data.job import PreparedSet
from ensemble_uq_llm.data.prepare import load_validation
from ensemble_uq_llm.evaluation.decisions.leaving.asked_in_order import asked_members, decisions
from ensemble_uq_llm.evaluation.decisions.leaving.exit_rule import ExitRule
from ensemble_uq_llm.evaluation.measured import uncertainty_of
from ensemble_uq_llm.evaluation.uncertainty import log_softmax
from ensemble_uq_llm.inference import asked_in_turn
from ensemble_uq_llm.inference.asked_in_turn import predict_in_turn
from ensemble_uq_llm.inference.members import load_members
from ensemble_uq_llm.inference.predict import predict_examples
from ensemble_uq_llm.models.logits import member_logits
from ensemble_uq_llm.training.loop import train
from small_runs import settings


@pytest.fixture(scope="module")
def asking(tiny_base, tiny_data, tmp_path_factory):
    """Five members, far enough apart and sure enough that some rows settle early, and the rows that they are asked."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    config = settings(tiny_base, tiny_data, folder, seeds=(1, 2, 3, 4, 5), num_epochs=6, learning_rate=5e-2)
    train(config)
    loaded = load_members(config)
    prepared = PreparedSet(load_validation(config), config)
    return loaded, prepared, predict_examples(loaded, prepared)


@pytest.mark.parametrize("threshold", [None, 0.2, 0.4])
@pytest.mark.parametrize("tau", [None, 0.1, 0.5])
def test_only_the_pairs_that_are_asked_are_predicted_and_decide_as_they_would(asking, monkeypatch, threshold, tau):
    loaded, prepared, whole = asking
    order = whole.members[::-1]
    rule = ExitRule(members=5, threshold=threshold, tau=tau)
    asked_N = asked_members(np.exp(log_softmax(whole.logits_MNC[::-1])), rule)
    pairs = []

    def counting(ensemble, sequences, *, members, **named):
        pairs.append(len(sequences) * len(members))
        return member_logits(ensemble, sequences, members=members, **named)

    monkeypatch.setattr(asked_in_turn, "member_logits", counting)
    heard = []
    partial = predict_in_turn(loaded, prepared, rule, order=order, tell=lambda done, of: heard.append((done, of)))
    was_asked_MN = np.arange(5)[::-1, None] < asked_N

    assert sum(pairs) == asked_N.sum()
    found_MN = np.ones_like(was_asked_MN) if partial.left_out_MN is None else partial.left_out_MN
    assert np.array_equal(found_MN, was_asked_MN)
    np.testing.assert_allclose(partial.logits_MNC[was_asked_MN], whole.logits_MNC[was_asked_MN], atol=1e-5)
    assert heard[-1][0] <= heard[-1][1] == 5 * len(whole.ids)
    if tau is None:
        expected_N = decisions(uncertainty_of(whole), threshold)
        assert np.array_equal(decisions(uncertainty_of(partial), threshold), expected_N)


def test_the_rows_are_such_that_some_leave_and_some_stay(asking):
    asked_N = asked_members(np.exp(log_softmax(asking[2].logits_MNC)), ExitRule(members=5, tau=0.5))
    assert len(np.unique(asked_N)) > 1


def test_members_that_are_not_to_be_asked_are_not(asking):
    loaded, prepared, whole = asking
    partial = predict_in_turn(loaded, prepared, ExitRule(members=2), order=whole.members[1:3])
    assert partial.left_out_MN.all(axis=1).tolist() == [False, True, True, False, False]
    assert not partial.left_out_MN[[0, 3, 4]].any()

from dataclasses import replace

import numpy as np
import pytest
import torch
from weight_bench import SEEDS, ensemble_of, parents_of

from ensemble_uq_llm.models.logits import member_logits
from ensemble_uq_llm.posteriors.anchor import Answers, change_of_member, pooled_answers, put_back


def nothing():
    return None


def test_the_loss_is_that_of_the_label_as_torch_has_it():
    parents = parents_of(anchor=9)
    answers = pooled_answers(parents, parents.anchor, [nothing])
    logits_MNC = torch.from_numpy(member_logits(parents.ensemble, parents.anchor.sequences, budget=4096)).double()
    labels_N = torch.from_numpy(parents.anchor.labels_N)
    for index in range(len(SEEDS)):
        expected_N = torch.nn.functional.cross_entropy(logits_MNC[index], labels_N, reduction="none")
        np.testing.assert_allclose(answers.losses_MN[index], expected_N.numpy(), rtol=1e-12)
        assert (answers.classes_MN[index] == logits_MNC[index].argmax(dim=1).numpy()).all()


def test_probabilities_are_pooled_and_no_logits():
    parents = parents_of(anchor=9)
    head = parents.ensemble.head.weight_MCH
    kept = head.detach().clone()

    def doubled():
        with torch.no_grad():
            head.copy_(2 * kept)

    one, other = (pooled_answers(parents, parents.anchor, [draw]) for draw in (nothing, doubled))
    put_back(parents, {"score.weight": kept})
    both = pooled_answers(parents, parents.anchor, [nothing, doubled])
    mean_MN = (np.exp(-one.losses_MN) + np.exp(-other.losses_MN)) / 2
    np.testing.assert_allclose(both.losses_MN, -np.log(mean_MN), rtol=1e-12)


def test_options_that_a_row_lacks_have_no_part():
    parents = parents_of(anchor=6, classes=3)
    rows = replace(parents.anchor, options_N=np.array([2, 3] * 3))
    answers = pooled_answers(parents, rows, [nothing])
    logits_MNC = member_logits(parents.ensemble, rows.sequences, budget=4096).astype(np.float64)
    probs_MC = np.exp(logits_MNC[:, 0, :2]) / np.exp(logits_MNC[:, 0, :2]).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.exp(-answers.losses_MN[:, 0]), probs_MC[:, rows.labels_N[0]], rtol=1e-6)


def test_the_change_is_paired():
    before = Answers(losses_MN=np.array([[1.0, 5.0, 3.0]]), classes_MN=np.array([[0, 1, 1]]))
    after = Answers(losses_MN=np.array([[1.5, 5.5, 3.5]]), classes_MN=np.array([[0, 0, 1]]))
    change = change_of_member(before, after, 0)
    assert (change.nll_before, change.nll_after, change.rise) == (3.0, 3.5, 0.5)
    assert change.standard_error == 0.0  # every row's loss rose by as much, however unlike the rows are
    assert change.flip_rate == pytest.approx(1 / 3)


def test_what_was_kept_is_put_back():
    parents = parents_of()
    kept = {name: stack.clone() for name, stack in parents.stacks().items()}
    with torch.no_grad():
        for _, stack in parents.ensemble.named_stacks():
            stack.zero_()
    put_back(parents, kept)
    assert all(torch.equal(stack, kept[name]) for name, stack in ensemble_of().named_stacks())

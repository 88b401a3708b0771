"""The gradients of single sequences against ordinary backwards: of the whole batch, and of batches of one."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ensemble_uq_llm.member import trained
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.heads.answer import AnswerKind
from ensemble_uq_llm.models.heads.lm_head import LmHead
from ensemble_uq_llm.models.lora.spec import AdapterSpec, adapted_modules
from ensemble_uq_llm.models.pack import make_pack
from ensemble_uq_llm.models.taps.example_gradients import example_gradients
from tiny_models import (
    ALL_TARGETS,
    assert_close,
    random_sequences,
    randomise,
    save_tiny_llama,
    tiny_config,
    tiny_decoder,
    tiny_ensemble,
)

CPU = torch.device("cpu")
SEQUENCES = random_sequences(9, seed=3)
LABELS_N = torch.arange(9) % 2
MEMBER = 1


def nll(logits_BC: Tensor, rows: np.ndarray) -> Tensor:
    return F.cross_entropy(logits_BC, LABELS_N[rows], reduction="none")


def with_answer_head(folder) -> StackedEnsemble:
    base = save_tiny_llama(folder)
    decoder = tiny_decoder(tiny_config())
    spec = AdapterSpec(
        rank=4,
        scaling=2.0,
        dropout=0.0,
        classes=2,
        modules=adapted_modules(decoder, ("q_proj", "v_proj"), None),
        head_kind=AnswerKind(LmHead.of(base, dtype=torch.float32), (7, 11)),
        adapts_head=True,
    )
    return randomise(StackedEnsemble(decoder, spec=spec, members=trained((42, 43, 44))))


def ordinary(ensemble: StackedEnsemble, rows: list[int]) -> dict[str, Tensor]:
    """Return the member's gradients of the summed loss of these sequences, by the engine's own backward."""
    pack = make_pack([(MEMBER, [SEQUENCES[row] for row in rows])], device=CPU)
    stacks = dict(ensemble.named_stacks())
    gradients = torch.autograd.grad(nll(ensemble(pack), np.array(rows)).sum(), list(stacks.values()))
    return {name: gradient[MEMBER] for name, gradient in zip(stacks, gradients, strict=True)}


def all_rows(ensemble: StackedEnsemble, value_of=nll, budget: int = 60) -> dict[str, Tensor]:
    parts = list(example_gradients(ensemble, MEMBER, SEQUENCES, value_of, budget=budget))
    assert np.concatenate([part.rows for part in parts]).tolist() == list(range(len(SEQUENCES)))
    return {name: torch.cat([part.by_name[name] for part in parts]) for name in parts[0].by_name}


@pytest.fixture(params=["llama", "gemma2", "answer head"])
def ensemble(request, tmp_path) -> StackedEnsemble:
    if request.param == "answer head":
        return with_answer_head(tmp_path)
    return tiny_ensemble(request.param, targets=ALL_TARGETS)


def test_they_add_up_to_the_gradient_of_the_batch(ensemble):
    whole = ordinary(ensemble, list(range(len(SEQUENCES))))
    found = all_rows(ensemble)
    assert set(found) == set(whole)
    for name, gradients in found.items():
        assert_close(gradients.sum(0), whole[name], relative=2e-6)


def test_each_is_the_gradient_of_a_batch_of_one(ensemble):
    found = all_rows(ensemble)
    for row in range(len(SEQUENCES)):
        alone = ordinary(ensemble, [row])
        for name, gradients in found.items():
            assert_close(gradients[row], alone[name], relative=1e-5)


def test_sequences_have_gradients_of_their_own_and_the_cuts_change_nothing(ensemble):
    found, cut = all_rows(ensemble), all_rows(ensemble, budget=1)
    for name, gradients in found.items():
        assert_close(gradients, cut[name])
        assert (gradients[0] - gradients[1]).abs().max() > 0.01 * gradients.abs().max()


def test_the_values_are_any_function_of_the_own_logits(ensemble):
    """The Jacobian, class by class, gives the gradient of the loss by the chain rule."""
    jacobians = [all_rows(ensemble, lambda logits_BC, rows, c=c: logits_BC[:, c]) for c in range(2)]
    pack = make_pack([(MEMBER, SEQUENCES)], device=CPU)
    errors_NC = (ensemble(pack).softmax(1) - F.one_hot(LABELS_N)).detach()
    for name, gradients in all_rows(ensemble).items():
        parts = [errors_NC[:, c].view(-1, 1, 1) * jacobians[c][name] for c in range(2)]
        assert_close(sum(parts), gradients)


def test_the_ensemble_is_left_as_it_was(ensemble):
    before = {name: stack.detach().clone() for name, stack in ensemble.named_stacks()}
    places = [id(stack) for stack in ensemble.trainable()]
    all_rows(ensemble)
    assert [id(stack) for stack in ensemble.trainable()] == places
    assert all(torch.equal(stack, before[name]) and stack.grad is None for name, stack in ensemble.named_stacks())

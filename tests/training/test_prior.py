"""The prior against autograd of the loss that it stands for, and ridge regression in closed form."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import nn

from ensemble_uq_llm.models.pack import make_pack
from ensemble_uq_llm.training.prior import Prior, add_prior
from ensemble_uq_llm.training.step import Trainer, member_losses, train_step
from small_training import DATA, config, fresh_state, stack, train_all

PRECISION = 30.0
ROWS = [np.array([0, 3, 5]), np.array([1, 2, 3, 4]), np.array([], dtype=np.int64)]


def test_its_optimum_is_ridge_regression():
    """Three members with rows of their own, by plain gradient descent on half the mean squared error and the prior."""
    rng = np.random.default_rng(0)
    x_MNP, y_MN = torch.tensor(rng.standard_normal((3, 20, 4))), torch.tensor(rng.standard_normal((3, 20)))
    weights_MP = nn.Parameter(torch.zeros(3, 4, dtype=torch.float64))
    for _ in range(500):
        weights_MP.grad = None
        residuals_MN = torch.einsum("mnp,mp->mn", x_MNP, weights_MP) - y_MN
        (residuals_MN**2 / 2).mean(1).sum().backward()
        add_prior([weights_MP], Prior(precision=PRECISION, rows=20), members=range(3))
        with torch.no_grad():
            weights_MP -= 0.2 * weights_MP.grad
    for x_NP, y_N, found_P in zip(x_MNP, y_MN, weights_MP.detach(), strict=True):
        ridge = Ridge(alpha=PRECISION, fit_intercept=False, tol=1e-14).fit(x_NP.numpy(), y_N.numpy())
        np.testing.assert_allclose(found_P.numpy(), ridge.coef_, atol=1e-12)


@pytest.mark.parametrize("precision", [0.0, PRECISION])
def test_a_step_has_the_gradient_of_the_whole_loss(tiny_base: Path, precision):
    settings = config(warmup_steps=0, max_grad_norm=0)
    ensemble = stack(tiny_base, settings, settings.seeds)
    for parameter in ensemble.trainable():
        nn.init.normal_(parameter, std=0.1)
    before = [parameter.detach().clone() for parameter in ensemble.trainable()]
    pack = make_pack([(m, [DATA.train.sequences[row] for row in ROWS[m]]) for m in (0, 1)], device=torch.device("cpu"))
    labels_B = torch.tensor(DATA.train.labels_N[np.concatenate(ROWS)])
    losses_M = member_losses(ensemble(pack), labels_B, spans=pack.sequence_spans, batch_sizes_M=[3, 4, 1])
    prior = sum((parameter[:2] ** 2).sum() for parameter in ensemble.trainable()) * precision / 2 / len(DATA.train)
    expected = torch.autograd.grad(losses_M.sum() + prior, ensemble.trainable())

    state = fresh_state(ensemble, settings)
    gradients = []
    state.optimizer.register_step_pre_hook(
        lambda optimizer, _args, _kwargs: gradients.extend(p.grad.clone() for p in optimizer.param_groups[0]["params"])
    )
    told_M = train_step(
        Trainer(state=state, data=DATA.train, max_grad_norm=0, prior=Prior(precision=precision, rows=len(DATA.train))),
        ROWS,
    )
    torch.testing.assert_close(told_M, losses_M.detach())  # the loss that is told is that of the data
    for found, wanted, parameter, old in zip(gradients, expected, ensemble.trainable(), before, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)
        assert not found[2].any(), "a member without rows has no step, and no prior"
        assert not torch.equal(parameter[0], old[0])


def test_the_key_shrinks_members_and_a_nan_keeps_to_itself(tiny_base: Path):
    norms = []
    for precision in (0.0, 2000.0):
        settings = config(prior_precision=precision, weight_decay=0.0, num_epochs=2)
        ensemble = stack(tiny_base, settings, settings.seeds)
        outcomes = train_all(ensemble, DATA, settings)
        assert all(math.isfinite(each.loss) for each in outcomes)
        norms.append(sum(float((parameter.detach() ** 2).sum()) for parameter in ensemble.trainable()))
    assert norms[1] < 0.9 * norms[0]

    parameter = nn.Parameter(torch.tensor([[math.nan], [2.0]]))
    parameter.grad = torch.zeros(2, 1)
    add_prior([parameter, nn.Parameter(torch.ones(2, 1))], Prior(precision=3.0, rows=2), members=[0, 1])
    assert parameter.grad[0].isnan()
    assert parameter.grad[1] == 3.0

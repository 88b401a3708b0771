"""Samples of SWAG have the moments that are stored, by the bench; planted errors are caught."""

import numpy as np
import pytest
import torch
from bench import BenchError, Gaussian, LinearGaussian, check_all, check_members_differ, check_scale, wasserstein

from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.member import trained
from ensemble_uq_llm.models.taps.moments import MemberMoments
from ensemble_uq_llm.posteriors.maker import Parents, seeded
from ensemble_uq_llm.posteriors.swag import Swag, swag_sample
from tiny_models import tiny_ensemble

MEMBERS = trained((42, 43))


def moments_of(seed: int = 0, *, count: int = 12, rank: int = 4) -> MemberMoments:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(6, 6, generator=generator)
    moments = MemberMoments(rank=rank)
    for _ in range(count):
        snapshot = mixing @ torch.randn(6, generator=generator) + 3
        moments.note({"a": snapshot[:4].reshape(2, 2), "b": snapshot[4:]})
    return moments


def stored(moments: MemberMoments, scale: float = 1.0) -> Gaussian:
    """The Gaussian that the moments stand for, written out over all weights together."""

    def flat(tensors) -> np.ndarray:
        return np.concatenate([tensors[name].double().numpy().ravel() for name in ("a", "b")])

    diagonal = np.diag(flat(moments.variances()))
    if moments.deviations.maxlen == 0:
        return Gaussian(flat(moments.means), scale * diagonal)
    d_PK = np.stack([flat(each) for each in moments.deviations], axis=1)
    return Gaussian(flat(moments.means), scale / 2 * (diagonal + d_PK @ d_PK.T / (d_PK.shape[1] - 1)))


def samples_of(moments: MemberMoments, member=MEMBERS[0], *, count: int = 500, scale: float = 1.0) -> np.ndarray:
    drawn = [
        swag_sample(moments, seeded("swag"), member=member, sample=sample, scale=scale)
        for sample in range(1, count + 1)
    ]
    return np.stack([np.concatenate([each["a"].numpy().ravel(), each["b"].numpy()]) for each in drawn]).astype(float)


@pytest.mark.parametrize("rank", [0, 4])
@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_samples_have_the_stored_moments(rank, scale):
    moments = moments_of(rank=rank)
    samples, target = samples_of(moments, scale=scale), stored(moments, scale)
    check_all(samples, target)
    with pytest.raises(BenchError, match=r"scale: .* 1\.[34]"):
        check_scale(target.mean + 2**0.5 * (samples - target.mean), target)


def test_the_published_codes_scale_of_one_is_caught():
    """It leaves out the half, which doubles the covariance."""
    moments = moments_of()
    with pytest.raises(BenchError, match=r"scale: .* 1\.[34]"):
        check_scale(samples_of(moments, scale=2.0), stored(moments))


def test_members_have_samples_of_their_own():
    targets = [stored(moments_of(seed)) for seed in range(2)]
    samples = [samples_of(moments_of(seed), member) for seed, member in enumerate(MEMBERS)]
    check_members_differ(samples, targets)
    shared = [samples_of(moments_of(seed)) for seed in range(2)]
    with pytest.raises(BenchError, match="share samples"):
        check_members_differ(shared, targets)


@pytest.mark.parametrize(("count", "scale"), [(1, 1.0), (12, 0.0)])
def test_one_snapshot_or_no_scale_gives_the_mean(count, scale):
    moments = moments_of(count=count)
    for name, tensor in swag_sample(moments, seeded("swag"), member=MEMBERS[0], sample=1, scale=scale).items():
        assert torch.equal(tensor, moments.means[name])


def walked(counts):
    """Parents whose trajectories had so many snapshots, and what was asked for."""
    ensemble, asked = tiny_ensemble(seeds=(42, 43)), []

    def walk(plan):
        asked.append(plan)
        found = [MemberMoments(rank=plan.rank) for _ in counts]
        for index, count in enumerate(counts):
            for step in range(count):
                found[index].note({name: stack[index] + step for name, stack in ensemble.named_stacks()})
        return found

    return Parents(ensemble=ensemble, budget=100, walk=walk), asked


def test_the_maker_asks_for_one_walk_of_all_members_and_tells_how_far_each_went():
    parents, asked = walked((3, 5))
    made = Swag(epochs=2, rank=4).make(parents, 2, seeded("swag"))
    assert [(plan.epochs, plan.rate, plan.rank) for plan in asked] == [(2, 0.5, 4)]
    assert [fact["snapshots"] for fact in made.facts] == [3, 5]
    assert [fact["mean_standard_deviation"] for fact in made.facts] == pytest.approx([1.0, 2.5**0.5])
    names = {name for name, _ in parents.ensemble.named_stacks()}
    assert all(set(sample) == names for own in made.samples for sample in own)


def test_a_member_that_only_over_trains_is_refused():
    parents, _ = walked((3, 0))
    with pytest.raises(ConfigError, match=r"seed 43: .*lower the rate \(--with rate=0.1\)"):
        Swag().make(parents, 2, seeded("swag"))


def test_members_without_a_training_are_refused():
    with pytest.raises(ConfigError, match="leave out --adapter"):
        Swag().make(Parents(ensemble=tiny_ensemble(), budget=100), 2, seeded("swag"))


@pytest.mark.parametrize("setting", [{"epochs": 0}, {"snapshots": 1}, {"rank": -1}, {"scale": -1}, {"rate": 0}])
def test_settings_without_a_trajectory(setting):
    [name] = setting
    with pytest.raises(ConfigError, match=f"{name}: must be"):
        Swag(**setting)


def test_along_langevin_dynamics_it_is_half_the_posterior_and_half_its_diagonal():
    """A trajectory whose stationary covariance is 1 / (1 - rate / 2) times that of the closed-form posterior.

    So SWAG's distance to the posterior is that of (covariance + its diagonal) / 2, which is what it approximates.
    """
    posterior = LinearGaussian.drawn(rows=60, weights=5).posterior
    root = np.linalg.cholesky(posterior.covariance)
    rate = 0.05  # all directions forget alike, so that 95 steps on, where .008 is left, points are independent
    rng = np.random.default_rng(0)
    weights, moments = posterior.mean.copy(), MemberMoments(rank=2000)
    for step in range(200_000):
        weights += rate * (posterior.mean - weights) + (2 * rate) ** 0.5 * (root @ rng.standard_normal(5))
        if step >= 10_000 and step % 95 == 0:
            moments.note({"a": torch.tensor(weights[:4]).reshape(2, 2), "b": torch.tensor(weights[4:])})
    mixed = Gaussian(posterior.mean, (posterior.covariance + np.diag(np.diag(posterior.covariance))) / 2)
    scale = np.trace(posterior.covariance) ** 0.5
    assert wasserstein(stored(moments), mixed) / scale < 0.1
    assert wasserstein(mixed, posterior) / scale == pytest.approx(
        wasserstein(stored(moments), posterior) / scale, abs=0.1
    )
    assert wasserstein(Gaussian(mixed.mean, 2 * mixed.covariance), mixed) / scale > 0.3

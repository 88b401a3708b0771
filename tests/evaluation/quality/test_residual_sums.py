import numpy as np
import pytest

from ensemble_uq_llm.evaluation.quality import residual_sums
from ensemble_uq_llm.evaluation.quality.metrics import METRICS, metrics_for
from ensemble_uq_llm.evaluation.quality.noise_floor import noise_floor
from ensemble_uq_llm.evaluation.quality.residual_sums import SHAPES, noise_of
from ensemble_uq_llm.statistics.statistic import value_of

KINDS = {metric.name: metric.summed for metric in METRICS if metric.summed}


def calibrated(n, classes, seed=0):
    """Log-probabilities that the labels are drawn from."""
    rng = np.random.default_rng(seed)
    logits_NC = 1.5 * rng.normal(size=(n, classes))
    log_probs_NC = logits_NC - np.log(np.exp(logits_NC).sum(axis=1, keepdims=True))
    labels_N = (rng.random(n)[:, None] > np.exp(log_probs_NC).cumsum(axis=1)[:, :-1]).sum(axis=1)
    return log_probs_NC, labels_N


def size(kind, sums, sums_DH):
    return kind.norm(sums_DH, sums)


@pytest.mark.parametrize("classes", [2, 4])
def test_the_sums_give_the_metric(classes):
    log_probs_NC, labels_N = calibrated(300, classes)

    for metric in metrics_for(classes):
        if metric.summed is None:
            continue
        sums = metric.summed.sums(log_probs_NC, labels_N)
        value = value_of(metric.statistic(log_probs_NC, labels_N), 300)
        (got,) = size(metric.summed, sums, sums.sums_H[None])
        # The smooth error is that of a coarser grid.
        assert got == pytest.approx(value, rel=0.03 if metric.name == "smooth_ece" else 1e-9), metric.name


@pytest.mark.parametrize("classes", [2, 4])
def test_noise_has_the_mean_error_that_drawn_labels_have(classes):
    log_probs_NC, labels_N = calibrated(400, classes)
    makers = {metric.name: metric.calibration(log_probs_NC) for metric in metrics_for(classes) if metric.summed}
    floors = noise_floor(log_probs_NC, makers, draws=600, seed=1)

    for name in makers:
        sums = KINDS[name].sums(log_probs_NC, labels_N)
        (noise_DH,) = noise_of([sums], draws=600, seed=0)
        drawn_D = size(KINDS[name], sums, sums.drawn(np.zeros(len(sums.n_H)), noise_DH))
        assert drawn_D.mean() == pytest.approx(floors[name].mean, rel=0.06), name
        assert np.percentile(drawn_D, 95) == pytest.approx(floors[name].p95, rel=0.1), name


def test_noise_is_standard_and_correlated_as_residuals_are():
    log_probs_NC, labels_N = calibrated(200, 2)
    sums = residual_sums.by_class(log_probs_NC, labels_N)
    same_DH, again_DH = noise_of([sums, sums], draws=4000, seed=0)

    assert np.array_equal(same_DH, again_DH)
    assert same_DH.mean(axis=0) == pytest.approx(0, abs=0.07)
    assert same_DH.std(axis=0) == pytest.approx(1, abs=0.06)
    assert np.corrcoef(same_DH.T) == pytest.approx(np.eye(len(sums.n_H)), abs=0.07)  # bins share no example

    three = residual_sums.by_class(*calibrated(200, 3))
    (noise_DH,) = noise_of([three], draws=4000, seed=0)
    residual_HN = np.zeros((len(three.n_H), 200))
    for residual_N, cell_N in zip(three.residual_EN, three.cell_EN, strict=True):
        residual_HN[cell_N, np.arange(200)] += residual_N
    product_HH = residual_HN @ residual_HN.T
    scale_H = np.sqrt(product_HH.diagonal())
    assert np.corrcoef(noise_DH.T) == pytest.approx(product_HH / np.outer(scale_H, scale_H), abs=0.08)


@pytest.mark.parametrize("shape", SHAPES)
def test_assumed_gaps_keep_probabilities_within_0_and_1(shape):
    sums = residual_sums.by_class(*calibrated(100, 3))

    for scale in (0.0, 1.0, 5.0, 100.0):
        gap_H = sums.gap_H(scale, shape)
        truth_H = sums.expected_H / sums.n_H - gap_H
        assert ((truth_H >= -1e-12) & (truth_H <= 1 + 1e-12)).all()
        assert (gap_H != 0).all() if scale else not gap_H.any()


def test_the_variance_of_an_assumed_truth_is_that_of_its_labels():
    log_probs_NC, labels_N = calibrated(400, 2)
    sums = residual_sums.by_class(log_probs_NC, labels_N)
    gap_H = np.where(sums.expected_H / sums.n_H > 0.5, 0.2, -0.2)
    (noise_DH,) = noise_of([sums], draws=3000, seed=0)
    got_DH = sums.drawn(gap_H, noise_DH)

    p_N, cell_N = np.exp(log_probs_NC[:, 1]), sums.cell_EN[0]
    truth_N = p_N - gap_H[cell_N]
    labels_var_H = np.bincount(cell_N, truth_N * (1 - truth_N))
    assert got_DH.mean(axis=0) == pytest.approx(sums.n_H * gap_H, abs=4 * np.sqrt(sums.n_H.max() / 4 / 3000))
    expected_H = labels_var_H + sums.n_H * gap_H**2  # and of how many examples there are of the cell
    assert got_DH.var(axis=0) == pytest.approx(expected_H, rel=0.12)

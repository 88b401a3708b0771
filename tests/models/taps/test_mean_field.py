import torch

from ensemble_uq_llm.models.taps.mean_field import MeanField


def test_factors_go_through_to_means_and_variances():
    field = MeanField(
        epochs=2, means={"a": torch.ones(2), "b": torch.ones(2)}, variances={"a": torch.ones(2)}, ended="x"
    )
    scaled = field.scaled(lambda name: {"a": 3.0, "b": 1.0}[name])
    assert torch.equal(scaled.means["a"], torch.full((2,), 3.0))
    assert torch.equal(scaled.means["b"], torch.ones(2))
    assert torch.equal(scaled.variances["a"], torch.full((2,), 9.0))
    assert (scaled.epochs, scaled.ended) == (2, "x")

"""The last layer for last tokens only, against the same ensemble that runs the whole layer."""

import pytest
import torch
from torch import Tensor

from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.last_layer import SUPPORTED_LAYERS, LastTokenLayer
from ensemble_uq_llm.models.pack import make_pack
from tiny_models import ALL_TARGETS, FAMILIES, assert_close, random_sequences, tiny_config, tiny_decoder, tiny_ensemble

SUPPORTED = [family for family in FAMILIES if not family.startswith("gemma")]


def logits_and_gradients(ensemble: StackedEnsemble) -> dict[str, Tensor]:
    own = {member: random_sequences(3, seed=member, highest=17) for member in range(3)}
    own[0][0] = own[0][0][:1]
    pack = make_pack(list(own.items()), device=torch.device("cpu"))
    logits = ensemble(pack)
    sent = torch.randn(logits.shape, generator=torch.Generator().manual_seed(5))
    gradients = torch.autograd.grad(logits, ensemble.trainable(), sent)
    names = [name for name, _ in ensemble.named_stacks()]
    return {"logits": logits.detach()} | dict(zip(names, gradients, strict=True))


@pytest.mark.parametrize("family", SUPPORTED)
def test_equals_the_whole_layer(family, monkeypatch):
    short = tiny_ensemble(family, targets=ALL_TARGETS)
    assert isinstance(short.decoder.layers[-1], LastTokenLayer)
    monkeypatch.setattr(LastTokenLayer, "supports", staticmethod(lambda layer: False))
    whole = tiny_ensemble(family, targets=ALL_TARGETS)
    assert not isinstance(whole.decoder.layers[-1], LastTokenLayer)
    actual, expected = logits_and_gradients(short), logits_and_gradients(whole)
    assert actual.keys() == expected.keys()
    last = f"layers.{len(short.decoder.layers) - 1}."
    assert sum(last in name for name in actual) == 2 * len(ALL_TARGETS)
    for name in expected:
        assert_close(actual[name], expected[name])


def test_only_layers_of_the_known_form_are_shortened():
    names = {family: type(tiny_decoder(tiny_config(family)).layers[-1]).__name__ for family in FAMILIES}
    assert {names[family] for family in SUPPORTED} == set(SUPPORTED_LAYERS)
    for family in ("gemma", "gemma2"):
        assert not isinstance(tiny_ensemble(family).decoder.layers[-1], LastTokenLayer)

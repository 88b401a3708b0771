"""What the base would say instead of an answer, against the full softmax of transformers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from ensemble_uq_llm.member import trained
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.heads import everything_else
from ensemble_uq_llm.models.heads.head_kinds import head_kind_of
from ensemble_uq_llm.models.heads.lm_head import LmHead
from ensemble_uq_llm.models.logits import member_logits
from ensemble_uq_llm.models.lora.spec import AdapterSpec, adapted_modules
from tiny_models import (
    assert_close,
    padded,
    peft_answerer,
    random_sequences,
    randomise,
    tiny_causal_lm,
    tiny_config,
)

pytestmark = pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`:UserWarning")

TOKENS = (90, 7, 11)
SEQUENCES = random_sequences(7, seed=5, highest=20)
FAMILIES = {
    "llama": {},
    "llama-untied": {"tie_word_embeddings": False},
    "qwen3": {},
    "gemma3_text": {"final_logit_softcapping": 3.0},
    "granite": {"logits_scaling": 5.0},
    "phi": {"tie_word_embeddings": False},
}
"""What each family adds; the part before the first dash is its name."""


def telling(folder: Path, family: str, *, targets=(), seeds=(0,)) -> tuple[PreTrainedModel, StackedEnsemble]:
    config = tiny_config(family.partition("-")[0], **FAMILIES[family])
    model = tiny_causal_lm(config, attention="eager")
    model.save_pretrained(folder)
    decoder = tiny_causal_lm(config).model
    spec = AdapterSpec(
        rank=4,
        scaling=2.0,
        dropout=0.0,
        classes=len(TOKENS),
        modules=adapted_modules(decoder, targets, None),
        head_kind=head_kind_of(folder, TOKENS, bf16=False, tells_rest=True),
        adapts_head="lm_head" in targets,
    )
    return model, randomise(StackedEnsemble(decoder, spec=spec, members=trained(seeds)))


@torch.no_grad()
def log_softmax_of(model: torch.nn.Module) -> Tensor:
    batch = padded(SEQUENCES)
    last_B = batch["attention_mask"].sum(1) - 1
    return model(**batch).logits[torch.arange(len(last_B)), last_B].log_softmax(1)


def check_full_softmax(found_NC: np.ndarray, model: torch.nn.Module) -> None:
    found = torch.from_numpy(found_NC).log_softmax(1)
    expected = log_softmax_of(model)
    others = [token for token in range(expected.shape[1]) if token not in TOKENS]
    assert_close(found[:, :-1], expected[:, list(TOKENS)])
    assert (found[:, -1] - expected[:, others].logsumexp(1)).abs().max() < 1e-5


@pytest.mark.parametrize("at_once", [7, 8192])
@pytest.mark.parametrize("family", FAMILIES)
def test_without_adapters_it_is_the_rest_of_the_full_softmax(tmp_path, monkeypatch, family, at_once):
    monkeypatch.setattr(everything_else, "TOKENS_AT_ONCE", at_once)
    model, ensemble = telling(tmp_path, family)
    assert not ensemble.trainable()
    (found_NC,) = member_logits(ensemble, SEQUENCES, budget=60)
    assert found_NC.shape == (len(SEQUENCES), len(TOKENS) + 1)
    check_full_softmax(found_NC, model)


@pytest.mark.parametrize("targets", [("q_proj", "v_proj"), ("q_proj", "lm_head")], ids=str)
def test_with_adapters_it_is_that_of_every_member(tmp_path, targets):
    model, ensemble = telling(tmp_path, "llama", targets=targets, seeds=(1, 2))
    for member, found_NC in enumerate(member_logits(ensemble, SEQUENCES, budget=100)):
        alone = peft_answerer(model, ensemble, member, tokens=TOKENS, targets=targets, rank=4, alpha=8)
        check_full_softmax(found_NC, alone)


def test_logits_of_the_whole_vocabulary_are_never_there_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(everything_else, "TOKENS_AT_ONCE", 10)
    tiny_causal_lm(tiny_config(), attention="eager").save_pretrained(tmp_path)
    rest = everything_else.EverythingElse(LmHead.of(tmp_path, dtype=torch.float32), TOKENS, device=torch.device("cpu"))
    widths: list[int] = []
    shaped = LmHead.shaped
    monkeypatch.setattr(LmHead, "shaped", lambda self, logits: widths.append(logits.shape[1]) or shaped(self, logits))
    assert rest(torch.randn(3, 32)).shape == (3,)
    assert widths == [10] * 9 + [7]

"""The answer head against whole language models of transformers, with and without adapters of `peft`."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import peft
import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from transformers import PreTrainedModel

from ensemble_uq_llm.labels.answer_keys import LM_HEAD
from ensemble_uq_llm.member import trained
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.heads.answer import AnswerKind
from ensemble_uq_llm.models.heads.lm_head import LmHead
from ensemble_uq_llm.models.logits import member_logits
from ensemble_uq_llm.models.lora.spec import AdapterSpec, adapted_modules
from ensemble_uq_llm.models.pack import make_pack
from tiny_models import (
    EVERY_FAMILY,
    FUSED_TARGETS,
    assert_close,
    padded,
    peft_answerer,
    random_sequences,
    randomise,
    tiny_causal_lm,
    tiny_config,
)

pytestmark = pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`:UserWarning")

CPU = torch.device("cpu")
SEEDS = (42, 43)
TOKENS = (7, 11, 90)
SEQUENCES = random_sequences(6, seed=3, highest=20)
LABELS_B = torch.arange(len(SEQUENCES)) % 3
SPECIAL = {
    "gemma3_text-capped": {"final_logit_softcapping": 3.0},
    "gemma2-capped": {"final_logit_softcapping": 2.0},
    "granite-scaled": {"logits_scaling": 5.0},
    "cohere-scaled": {"logit_scale": 0.3},
}
"""What the configuration may do to logits after the product, by a family and what it adds."""


class Case(NamedTuple):
    """A saved language model and members with the answer head over its decoder."""

    base: Path
    model: PreTrainedModel
    ensemble: StackedEnsemble
    targets: tuple[str, ...]


def case(folder: Path, family: str = "llama", *, targets: Sequence[str] = (), seeds=SEEDS, dropout=0.0, **keys) -> Case:
    name = family.partition("-")[0]
    known = family if family in EVERY_FAMILY else name
    config = tiny_config(known, **SPECIAL.get(family, {}) | keys)
    model = tiny_causal_lm(config, attention="eager")
    model.save_pretrained(folder)
    decoder = tiny_causal_lm(config).model
    kind = AnswerKind(LmHead.of(folder, dtype=torch.float32), TOKENS)
    targets = tuple(targets) or (*FUSED_TARGETS.get(name, ("q_proj", "v_proj")), LM_HEAD)
    spec = AdapterSpec(
        rank=4,
        scaling=2.0,
        dropout=dropout,
        classes=len(TOKENS),
        modules=adapted_modules(decoder, targets, None),
        head_kind=kind,
        adapts_head=LM_HEAD in targets,
    )
    return Case(folder, model, randomise(StackedEnsemble(decoder, spec=spec, members=trained(seeds))), targets)


def logits_MBC(ensemble: StackedEnsemble) -> Tensor:
    members = len(ensemble.members)
    pack = make_pack([(member, SEQUENCES) for member in range(members)], device=CPU)
    return ensemble(pack).unflatten(0, (members, len(SEQUENCES)))


def padded_left(sequences: Sequence[np.ndarray]) -> dict[str, Tensor]:
    """Return the batch that generation has: padding before the texts, and positions that do not count it."""
    right = padded(sequences)
    lengths = right["attention_mask"].sum(1)
    longest = int(lengths.max())
    shifted = {
        name: torch.stack([row.roll(longest - int(length)) for row, length in zip(rows, lengths, strict=True)])
        for name, rows in right.items()
    }
    return shifted | {"position_ids": (shifted["attention_mask"].cumsum(1) - 1).clamp(min=0)}


def answers_of(model: nn.Module) -> Tensor:
    """Return what a whole language model says of the answer tokens after each text [B, C]."""
    batch = padded(SEQUENCES)
    last_B = batch["attention_mask"].sum(1) - 1
    return model(**batch).logits[torch.arange(len(last_B)), last_B][:, list(TOKENS)]


def peft_model(case: Case, member: int) -> peft.PeftModel:
    return peft_answerer(case.model, case.ensemble, member, tokens=TOKENS, targets=case.targets, rank=4, alpha=8)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("family", [*EVERY_FAMILY, *SPECIAL])
def test_each_member_equals_peft_on_the_language_model_of_every_family(family, tied, tmp_path):
    made = case(tmp_path, family, tie_word_embeddings=tied)
    for member, logits in enumerate(logits_MBC(made.ensemble)):
        assert_close(logits.detach(), answers_of(peft_model(made, member)).detach())
    assert (logits_MBC(made.ensemble)[0] - logits_MBC(made.ensemble)[1]).abs().max() > 0.01


@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma3_text"])
def test_it_equals_the_language_model_on_a_batch_that_is_padded_on_the_left(family, tmp_path):
    made = case(tmp_path, family)
    model = peft_model(made, 1)
    expected = model(**padded_left(SEQUENCES)).logits[:, -1, list(TOKENS)]
    assert_close(logits_MBC(made.ensemble)[1].detach(), expected.detach())


@pytest.mark.parametrize("targets", [("q_proj", "v_proj"), (LM_HEAD,), ("q_proj", LM_HEAD)], ids=str)
def test_a_step_of_training_equals_that_of_peft(targets, tmp_path):
    made = case(tmp_path, targets=targets)
    alone = [peft_model(made, member) for member in range(len(SEEDS))]
    before_MBC = logits_MBC(made.ensemble)
    take_a_step(made.ensemble.trainable(), sum(F.cross_entropy(each, LABELS_B) for each in before_MBC))
    after_MNC = torch.from_numpy(member_logits(made.ensemble, SEQUENCES, budget=200))
    for member, model in enumerate(alone):
        take_a_step(
            [each for each in model.parameters() if each.requires_grad], F.cross_entropy(answers_of(model), LABELS_B)
        )
        assert_close(after_MNC[member], answers_of(model).detach(), relative=1e-4)
        assert (after_MNC[member] - before_MBC[member]).abs().max() > 0.01, "the step must be one"
        if LM_HEAD in targets:
            b_VR = model.base_model.model.lm_head.lora_B["default"].weight
            others = [token for token in range(len(b_VR)) if token not in TOKENS]
            assert b_VR[others].count_nonzero() == 0, "peft trains the answers' rows only, too"


def take_a_step(parameters: Sequence[nn.Parameter], loss: Tensor) -> None:
    optimizer = torch.optim.AdamW(parameters, lr=0.01, weight_decay=0.1)
    loss.backward()
    optimizer.step()


def test_a_member_alone_in_a_pair_and_among_ten_is_the_same(tmp_path):
    among = case(tmp_path, seeds=tuple(range(40, 50)))
    expected = logits_MBC(among.ensemble)[3].detach()
    for seeds in ((43,), (43, 7)):
        made = case(tmp_path, seeds=seeds)
        assert_close(logits_MBC(made.ensemble)[0].detach(), expected)


def test_dropout_on_the_head_is_a_members_own(tmp_path):
    made = case(tmp_path, targets=(LM_HEAD,), dropout=0.5)
    pack = make_pack([(member, SEQUENCES) for member in range(2)], device=CPU)

    def dropped(*seeds: int) -> Tensor:
        return made.ensemble(pack, dropout_generators=[Generator().manual_seed(seed) for seed in seeds]).detach()

    assert torch.equal(dropped(1, 2), dropped(1, 2))
    assert torch.equal(dropped(1, 2)[:6], dropped(1, 3)[:6])
    assert (dropped(1, 2)[6:] - dropped(1, 3)[6:]).abs().max() > 0.01
    kept = torch.stack([dropped(seed, seed) for seed in range(4000)]).mean(0)
    assert_close(kept, made.ensemble(pack).detach(), relative=0.05)


def test_the_first_weights_are_those_of_adapters(tmp_path):
    made = case(tmp_path)
    made.ensemble.initialise_member(0, 42)
    stack = made.ensemble.adapters[LM_HEAD]
    assert stack.lora_a_MRI.shape == (2, 4, 32)
    assert stack.lora_b_MOR.shape == (2, len(TOKENS), 4)
    assert stack.lora_b_MOR[0].count_nonzero() == 0
    assert stack.lora_a_MRI[0].abs().max() <= 32**-0.5
    assert stack.lora_a_MRI[0].std().item() == pytest.approx(32**-0.5 / 3**0.5, rel=0.2)


def test_no_more_rows_of_the_lm_head_are_held_than_there_are_answers(tmp_path):
    made = case(tmp_path)
    assert sum(each.numel() for each in made.ensemble.head.parameters()) == 3 * 32 + 2 * 4 * (32 + 3)

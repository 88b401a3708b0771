"""The classification head, and a second kind plugged in from here: frozen rows of the base, without training."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import peft
import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from transformers import PreTrainedModel

from ensemble_uq_llm.errors import IntegrityError
from ensemble_uq_llm.member import trained
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.heads import CLASSIFICATION, SCORE, ClassificationHead, Head, HeadKind
from ensemble_uq_llm.models.logits import member_logits
from ensemble_uq_llm.models.lora.peft_folder import BaseName, ensemble_of, read_adapter, write_adapter
from ensemble_uq_llm.models.lora.peft_settings import SETTINGS
from ensemble_uq_llm.models.lora.spec import LoraSettings
from ensemble_uq_llm.models.pack import Span, make_pack
from ensemble_uq_llm.utils.files import read_json
from tiny_models import (
    SHAPE,
    assert_close,
    padded,
    random_sequences,
    randomise,
    spec,
    tiny_causal_lm,
    tiny_config,
    tiny_llama,
)

CPU = torch.device("cpu")
SEEDS = (42, 43)
QV = ("q_proj", "v_proj")
SEQUENCES = random_sequences(6, seed=3, highest=20)
LABELS_B = torch.arange(len(SEQUENCES)) % 3
ANSWER_TOKENS = (7, 11, 90)


def test_the_head_scores_each_sequence_with_its_own_member():
    head = ClassificationHead(tiny_llama(), members=3, classes=4)
    nn.init.normal_(head.weight_MCH, generator=Generator().manual_seed(1))
    hidden = torch.randn(5, SHAPE["hidden_size"], generator=Generator().manual_seed(2)).bfloat16()
    scores = head(hidden, [Span(2, 0, 3), Span(0, 3, 5)])
    assert scores.dtype == torch.float32
    expected = [head.weight_MCH[member] @ row for member, row in zip((2, 2, 2, 0, 0), hidden.float(), strict=True)]
    assert_close(scores.detach(), torch.stack(expected).detach())


def test_a_member_starts_from_its_own_generator_and_touches_no_other():
    head = ClassificationHead(tiny_llama(), members=2, classes=3)
    asked: list[str] = []
    head.initialise(1, lambda name: asked.append(name) or Generator().manual_seed(5))
    assert asked == [SCORE]
    assert head.weight_MCH[0].count_nonzero() == 0
    std = SHAPE["initializer_range"]
    assert_close(head.weight_MCH[1].detach(), torch.zeros(3, 32).normal_(std=std, generator=Generator().manual_seed(5)))


def test_the_kinds_names_are_those_of_the_stacks():
    head = CLASSIFICATION.make(tiny_llama(), members=2, classes=5)
    slices = {name: stack[0] for name, stack in head.named_stacks()}
    assert tuple(slices) == CLASSIFICATION.tensors == (SCORE,)
    assert CLASSIFICATION.classes_of(slices) == 5
    assert CLASSIFICATION.modules_to_save == ["score"]


class ReadOut(Head):
    """Logits of a few tokens, by the base's own embedding; nothing is trained."""

    def __init__(self, decoder: PreTrainedModel, *, members: int, classes: int, tokens: Sequence[int]) -> None:
        super().__init__()
        assert classes == len(tokens)
        self.register_buffer("rows_CH", decoder.embed_tokens.weight[list(tokens)].float())

    def forward(self, hidden_BH: Tensor, spans: Sequence[Span]) -> Tensor:
        return hidden_BH.float() @ self.rows_CH.t()


ANSWER = HeadKind(
    name="answer",
    task_type="CAUSAL_LM",
    tensors=(),
    make=partial(ReadOut, tokens=ANSWER_TOKENS),
    classes_of=lambda tensors: len(ANSWER_TOKENS),
)


def answering() -> StackedEnsemble:
    decoder = tiny_llama()
    settings = replace(spec(decoder=decoder, targets=QV, classes=len(ANSWER_TOKENS)), head_kind=ANSWER)
    return randomise(StackedEnsemble(decoder, spec=settings, members=trained(SEEDS)))


def logits_MBC(ensemble: StackedEnsemble) -> Tensor:
    pack = make_pack([(member, SEQUENCES) for member in range(len(SEEDS))], device=CPU)
    return ensemble(pack).unflatten(0, (len(SEEDS), len(SEQUENCES)))


def language_model() -> PreTrainedModel:
    return tiny_causal_lm(tiny_config(), attention="eager")


def answers_of(model: nn.Module) -> Tensor:
    """Return what a whole language model says of the answer tokens after each text [B, C]."""
    batch = padded(SEQUENCES)
    last_B = batch["attention_mask"].sum(1) - 1
    return model(**batch).logits[torch.arange(len(last_B)), last_B][:, list(ANSWER_TOKENS)]


@torch.no_grad()
def peft_answerer(ensemble: StackedEnsemble, member: int) -> peft.PeftModel:
    settings = peft.LoraConfig(
        task_type=peft.TaskType.CAUSAL_LM, r=4, lora_alpha=8, lora_dropout=0.0, target_modules=list(QV)
    )
    model = peft.get_peft_model(language_model(), settings)
    for name, adapter in ensemble.adapters.items():
        lora = model.base_model.model.get_submodule(name)
        lora.lora_A["default"].weight.copy_(adapter.lora_a_MRI[member])
        lora.lora_B["default"].weight.copy_(adapter.lora_b_MOR[member])
    return model


def take_a_step(parameters: Sequence[nn.Parameter], loss: Tensor) -> None:
    optimizer = torch.optim.SGD(parameters, lr=0.5)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()


def test_another_head_trains_and_predicts_as_the_whole_language_model_does():
    ensemble = answering()
    assert not any("lora" not in name for name, _ in ensemble.named_stacks()), "nothing but adapters is trained"
    alone = [peft_answerer(ensemble, member) for member in range(len(SEEDS))]
    before_MBC = logits_MBC(ensemble)
    for mine, model in zip(before_MBC, alone, strict=True):
        assert_close(mine.detach(), answers_of(model).detach())
    take_a_step(ensemble.trainable(), sum(F.cross_entropy(each, LABELS_B) for each in before_MBC))
    after_MNC = torch.from_numpy(member_logits(ensemble, SEQUENCES, budget=200))
    for member, model in enumerate(alone):
        loss = F.cross_entropy(answers_of(model), LABELS_B)
        take_a_step([each for each in model.parameters() if each.requires_grad], loss)
        assert_close(after_MNC[member], answers_of(model).detach(), relative=1e-4)
        assert (after_MNC[member] - before_MBC[member]).abs().max() > 0.01, "the step must be one"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[StackedEnsemble, Path]:
    ensemble, folder = answering(), tmp_path_factory.mktemp("answering")
    settings = LoraSettings(rank=4, alpha=8, dropout=0.0, targets=QV)
    write_adapter(ensemble, 1, folder, settings=settings, base=BaseName(name="somewhere"))
    return ensemble, folder


def test_its_members_are_folders_that_peft_loads(written):
    ensemble, folder = written
    settings = read_json(folder / SETTINGS)
    assert (settings["task_type"], settings["modules_to_save"]) == ("CAUSAL_LM", None)
    model = peft.PeftModel.from_pretrained(language_model(), str(folder)).eval()
    assert_close(logits_MBC(ensemble)[1].detach(), answers_of(model).detach())


def test_its_members_are_read_back(written):
    ensemble, folder = written
    adapter = read_adapter(folder, head_kind=ANSWER)
    assert (adapter.classes, adapter.head) == (3, {})
    again = ensemble_of(tiny_llama(), [adapter], members=trained((43,)))
    (logits_NC,) = member_logits(again, SEQUENCES, budget=200)
    assert_close(torch.from_numpy(logits_NC), logits_MBC(ensemble)[1].detach())


def test_a_folder_with_another_head_than_asked_for_is_refused(written):
    with pytest.raises(IntegrityError, match="task_type 'CAUSAL_LM'; only LORA for SEQ_CLS is read"):
        read_adapter(written[1])
    other = replace(ANSWER, task_type="SEQ_2_SEQ_LM")
    with pytest.raises(IntegrityError, match="task_type 'CAUSAL_LM'; only LORA for SEQ_2_SEQ_LM is read"):
        read_adapter(written[1], head_kind=other)

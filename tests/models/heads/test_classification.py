"""The classification head: what it computes, how it starts, and what its kind calls its tensors."""

import torch
from torch import Generator, nn

from ensemble_uq_llm.models.heads.classification import CLASSIFICATION, SCORE, ClassificationHead
from ensemble_uq_llm.models.pack import Span
from tiny_models import SHAPE, assert_close, tiny_llama


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

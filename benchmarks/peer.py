"""The peer: what a user does today. transformers and `peft`, one seed after another, in their ordinary best form.

SDPA attention, a padded batch with its mask, LoRA by `peft`, AdamW fused, tokens prepared beforehand, no workers.
"""

import math
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import peft
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, get_linear_schedule_with_warmup
from transformers.trainer_pt_utils import get_length_grouped_indices
from transformers.utils import logging as transformers_logging

from cases import PAD, Case, device_of
from ensemble_uq_llm.config import Config
from ensemble_uq_llm.models.ensemble import StackedEnsemble

MODES: Final = ("padded", "dynamic", "grouped")
"""To `max_length` as the original code pads; to the longest of a micro-batch; the same, of similar lengths."""


class Peer:
    """One `peft` model that trains or evaluates as one member at a time."""

    def __init__(self, case: Case, *, mode: str) -> None:
        self.case, self.mode = case, mode
        self.device = device_of(case.config)
        self.model = peft_model(case).to(self.device).train()
        self.trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self._initial = [parameter.detach().clone() for parameter in self.trained]
        self.start_member()

    @torch.no_grad()
    def start_member(self, initial: dict[str, Tensor] | None = None) -> None:
        """Begin a new member: fresh weights (or those given, by `peft`'s names), optimiser and schedule."""
        for parameter, fresh in zip(self.trained, self._initial, strict=True):
            parameter.copy_(fresh)
        if initial is not None:
            copy_member(self.model, initial)
        config = self.case.config
        self.optimizer = torch.optim.AdamW(
            self.trained, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self.schedule = get_linear_schedule_with_warmup(self.optimizer, config.warmup_steps, 10_000)

    def step(self, rows: NDArray[np.int64]) -> tuple[float, float]:
        """Take one optimiser step on these rows; returns the batch-mean loss and the gradient's norm."""
        config = self.case.config
        total = torch.zeros((), device=self.device)
        for micro in np.split(rows, config.gradient_accumulation_steps):
            batch = self.collate(micro)
            loss = self.model(**batch).loss / config.gradient_accumulation_steps
            loss.backward()
            total += loss.detach()
        norm = nn.utils.clip_grad_norm_(self.trained, config.max_grad_norm or math.inf)
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad()
        return total.item(), norm.item()

    @torch.inference_mode()
    def evaluate(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the logits [N, C] of these rows, in micro-batches in their order."""
        self.model.eval()
        size = self.case.config.batch_size
        parts = [rows[start : start + size] for start in range(0, len(rows), size)]
        return torch.cat([self.model(**self.collate(part)).logits.float() for part in parts]).cpu().numpy()

    def collate(self, rows: NDArray[np.int64]) -> dict[str, Tensor]:
        """Pad these rows on the right."""
        own = [self.case.sequences[row] for row in rows]
        width = self.case.config.max_length if self.mode == "padded" else max(map(len, own))
        input_ids = torch.full((len(own), width), PAD)
        mask = torch.zeros((len(own), width), dtype=torch.long)
        for index, tokens in enumerate(own):
            input_ids[index, : len(tokens)] = torch.from_numpy(tokens)
            mask[index, : len(tokens)] = 1
        labels = torch.from_numpy(self.case.labels_N[rows])
        batch = {"input_ids": input_ids, "attention_mask": mask, "labels": labels}
        return {name: tensor.to(self.device) for name, tensor in batch.items()}


def grouped_steps(case: Case, *, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield an epoch's steps as transformers groups by length, in random order so that few of them stand for all."""
    config = case.config
    generator = torch.Generator().manual_seed(seed)
    order = np.array(get_length_grouped_indices(case.lengths_N.tolist(), config.batch_size, generator=generator))
    micros = order[: len(order) // config.batch_size * config.batch_size].reshape(-1, config.batch_size)
    np.random.default_rng(seed).shuffle(micros)
    for start in range(0, len(micros) - config.gradient_accumulation_steps + 1, config.gradient_accumulation_steps):
        yield micros[start : start + config.gradient_accumulation_steps].ravel()


def peft_model(case: Case) -> Any:
    """Return the case's base as a `peft` model for sequence classification."""
    config: Config = case.config
    transformers_logging.set_verbosity_error()  # the head is new, as it should be
    transformers_logging.disable_progress_bar()
    base = AutoModelForSequenceClassification.from_pretrained(
        str(case.base),
        num_labels=config.num_labels,
        dtype=torch.bfloat16 if config.use_bf16 else torch.float32,
        attn_implementation="sdpa",
        pad_token_id=PAD,
    )
    settings = peft.LoraConfig(
        task_type=peft.TaskType.SEQ_CLS,
        r=config.lora_r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=list(config.lora_target_modules),
        layers_to_transform=None if config.lora_layers is None else list(config.lora_layers),
    )
    return peft.get_peft_model(base, settings)


@torch.no_grad()
def copy_member(model: Any, tensors: dict[str, Tensor]) -> None:
    """Copy one member's tensors, named as on disk, into a `peft` model."""
    inner = model.base_model.model
    for name, tensor in tensors.items():
        module = name.removesuffix(".weight")
        path = f"{module}.modules_to_save.default" if module == "score" else f"{module}.default"
        inner.get_submodule(path).weight.copy_(tensor)


def member_tensors(ensemble: StackedEnsemble, member: int) -> dict[str, Tensor]:
    """Return one member's tensors by their names on disk."""
    return {name: stack[member].detach().clone() for name, stack in ensemble.named_stacks()}

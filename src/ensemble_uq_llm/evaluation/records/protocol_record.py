"""Record: how the numbers of a set came about, which decides whether they may stand beside others."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How the numbers of a set came about; None or an empty list is "not known", never a guess."""

    base: str | None = None
    base_revision: str | None = None
    base_digest: str | None = None
    dtype: Literal["bfloat16", "float32"] | None = None
    prompt: str | None = None
    chat_template: bool | None = None
    max_length: int | None = None
    head: Literal["classification", "answer"] | None = None
    answers: tuple[str, ...] = ()
    """In the order of the classes; of the answer head alone, as their tokens."""
    answer_token_ids: tuple[int, ...] = ()
    read_at: str | None = None
    """Where in the prompt the logits are read."""
    adapters: Literal["trained", "given", "none"] | None = None
    """Trained in this run, given as folders made elsewhere, or none: the base alone."""
    maker: str | None = None
    """What the weights are of: `training`, or the maker of samples of trained members."""
    modules: tuple[str, ...] = ()
    layers: str | None = None
    """Of the decoder, from 0: `all`, or `15-29`, or `2, 5-7`."""
    lora_r: int | None = None
    lora_alpha: float | None = None
    trained_on: str | None = None
    trained_on_digest: str | None = None
    train_rows: int | None = None
    train_rows_cut: int | None = None
    steps: tuple[int, ...] = ()
    """Optimiser steps: one number where all members took as many, else a member's each."""
    batch: int | None = None
    """Examples of an optimiser step."""
    epochs: int | None = None
    keep: Literal["last", "best"] | None = None
    """Which epoch's weights a member keeps."""
    kept_epochs: tuple[int, ...] = ()
    """The epochs that were kept: one number, or a member's each."""
    learning_rate: float | None = None
    warmup_steps: int | None = None
    weight_decay: float | None = None
    max_grad_norm: float | None = None
    lora_dropout: float | None = None
    class_weights: str | None = None
    """Of the loss: `none`, `balanced`, or a number a class."""
    evaluated_on: str | None = None
    evaluated_on_digest: str | None = None
    evaluated_rows: int | None = None
    evaluated_rows_cut: int | None = None
    calibration_rows: int | None = None
    """Labelled examples on which temperatures and conformal sets were fitted; 0 is none."""
    members: int | None = None
    pooling: Literal["probabilities"] | None = None
    """What is averaged over the members."""
    ece_bins: int | None = None


@dataclass(frozen=True, kw_only=True)
class ProtocolsBeside:
    """The protocols of two runs that are compared."""

    a: Protocol
    b: Protocol
    differs_in: tuple[str, ...]
    """The fields in which they are known to differ."""
    known_of_one: tuple[str, ...]
    """The fields that are known of one side only."""

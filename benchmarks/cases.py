"""The jobs that are timed: a base model, tokenised examples, and the settings that both sides share."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel, LlamaConfig

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.config_file import load_config
from ensemble_uq_llm.data.prepare import load_training, tokenize
from ensemble_uq_llm.data.tokenize import TokenizedExamples
from ensemble_uq_llm.member import trained
from ensemble_uq_llm.models.base import load_decoder, load_tokenizer
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.lora.spec import spec_of
from ensemble_uq_llm.training.from_config import base_folder, lora_settings

LLAMA_1B: Final = {
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128_256,
    "rope_theta": 500_000.0,
}
SMOLLM_135M: Final = {
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49_152,
}
SHAPES: Final = {"smollm-135m": SMOLLM_135M, "llama-1b": LLAMA_1B}
"""Shapes that are filled with random weights on the spot: speed does not depend on what the weights say."""

SMALL_FORM: Final = {"llama-1b": {"num_hidden_layers": 2, "vocab_size": 4096}}
"""What replaces parts of a shape where there is no GPU: the same script end to end, for figures of its own."""

EXAMPLES: Final = 4096
PAD: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One job: N tokenised examples with labels, the folder of the base, and the training settings.

    `config.batch_size` sequences make a micro-batch, `config.gradient_accumulation_steps` of them a step.
    """

    name: str
    base: Path
    config: Config
    sequences: list[NDArray[np.int32]]
    labels_N: NDArray[np.int64]

    @property
    def lengths_N(self) -> NDArray[np.int64]:
        """Tokens of each example."""
        return np.array([len(each) for each in self.sequences])

    def describe(self) -> str:
        """Return the job in words."""
        config, lengths_N = self.config, self.lengths_N
        return (
            f"{self.name}, {'bfloat16' if config.use_bf16 else 'float32'}, batch {config.batch_size} x "
            f"{config.gradient_accumulation_steps}, prompts of {lengths_N.mean():.0f} tokens on average (median "
            f"{np.median(lengths_N):.0f}, 95% {np.quantile(lengths_N, 0.95):.0f}, longest {lengths_N.max()})"
        )

    def changed(self, **settings: object) -> Self:
        """Return the case with other settings."""
        return replace(self, config=self.config.model_copy(update=settings))

    def rows(self, member: int, step: int) -> NDArray[np.int64]:
        """Return a member's own batch at a step, the same for whoever trains it."""
        size = self.config.effective_batch_size
        return np.random.default_rng((member, step)).choice(len(self.sequences), size, replace=False)


def add_options(parser: ArgumentParser, *, rounds: int) -> None:
    """Declare the options that choose a case, its members, and how often the sides take turns."""
    parser.add_argument("case", choices=["embedded", "folder", *SHAPES])
    parser.add_argument("--model", type=Path, help="folder of the base (of the tokenizer, for a shape)")
    parser.add_argument("--train-file", type=Path, help="examples to train on or to predict")
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")


def case_of(asked: Namespace, scratch: str) -> Case:
    """Build the case that the options ask for."""
    return make_case(asked.case, Path(scratch), model=asked.model, train_file=asked.train_file, settings=asked.set)


def make_case(name: str, scratch: Path, *, model: Path | None, train_file: Path | None, settings: list[str]) -> Case:
    """Build a case: `embedded`, one of SHAPES, or `folder` for the model in the folder `model`.

    A shape's random weights go to `scratch`. Without `train_file` the embedded model gets its own questions, and
    the others random tokens with the lengths of BoolQ's prompts.
    """
    overrides = ["lora_alpha=32", "lora_dropout=0.1", f"max_train_examples={EXAMPLES}", *settings]
    if name == "embedded":
        overrides = ["model_name=embedded", "dataset=synthetic", *overrides]
    if train_file is not None:
        overrides += [f"train_file={train_file}", f"validation_file={train_file}"]
    config = load_config(None, overrides)
    shape = SHAPES.get(name, {})
    if name in SMALL_FORM and device_of(config).type == "cpu":
        shape = shape | SMALL_FORM[name]
        print(f"no GPU: {name} in its small form, with {SMALL_FORM[name]}")
    if name in SHAPES:
        base = write_random_model(scratch, shape, bf16=config.use_bf16)
    elif model is not None:
        base = model
    else:
        base = base_folder(config)
    if name == "embedded" or train_file is not None:
        tokenizer = load_tokenizer(base if name not in SHAPES or model is None else model)
        tokens = tokenize(config, load_training(config).kept, tokenizer)
        sequences, labels_N = tokens.sequences, tokens.labels_N
    else:
        sequences, labels_N = boolq_like(EXAMPLES, vocabulary=shape["vocab_size"])
    return Case(name=name, base=base, config=config, sequences=list(sequences), labels_N=labels_N)


def boolq_like(count: int, *, vocabulary: int) -> tuple[list[NDArray[np.int32]], NDArray[np.int64]]:
    """Return random tokens with the lengths of BoolQ under Llama-3's tokenizer: mean 136, median 124, 95% 264."""
    rng = np.random.default_rng(0)
    lengths = np.clip(np.round(124 * np.exp(0.45 * rng.standard_normal(count))), 8, 512).astype(int)
    return [rng.integers(1, vocabulary, size=n, dtype=np.int32) for n in lengths], rng.integers(0, 2, size=count)


def write_random_model(folder: Path, shape: dict[str, Any], *, bf16: bool) -> Path:
    """Write a decoder of that shape with random weights into `folder`."""
    config = LlamaConfig(**shape, max_position_embeddings=8192, tie_word_embeddings=True, pad_token_id=PAD)
    torch.manual_seed(0)
    AutoModel.from_config(config, dtype=torch.bfloat16 if bf16 else torch.float32).save_pretrained(folder)
    return folder


def device_of(config: Config) -> torch.device:
    """Return the device on which both sides run."""
    wanted = config.device if config.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def fresh_ensemble(case: Case, seeds: Sequence[int]) -> StackedEnsemble:
    """Return new members over the case's base."""
    decoder = load_decoder(case.base, device=device_of(case.config), bf16=case.config.use_bf16)
    return StackedEnsemble(
        decoder,
        spec=spec_of(lora_settings(case.config), decoder, classes=case.config.num_labels),
        members=trained(seeds),
    )


def as_tokenized(case: Case) -> TokenizedExamples:
    """Return the case's examples as our trainer takes them."""
    return TokenizedExamples(
        ids=tuple(map(str, range(len(case.sequences)))),
        tokens_T=np.concatenate(case.sequences),
        lengths_N=case.lengths_N,
        labels_N=case.labels_N,
        is_cut_N=np.zeros(len(case.sequences), bool),
    )

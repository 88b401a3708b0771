"""A run small enough for tests: its settings, and the weights that it leaves."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.run_folder import RunFolder


def settings(tiny_base: Path, tiny_data: Path, output: Path, **changes: object) -> Config:
    values = {
        "model_name": str(tiny_base), "train_file": tiny_data, "validation_file": tiny_data, "output_dir": output,
        "batch_size": 4, "gradient_accumulation_steps": 2, "num_epochs": 2, "warmup_steps": 1, "learning_rate": 1e-2,
        "seeds": (1, 2, 3), "use_bf16": False, "num_gpus": 0,
    }  # fmt: skip
    return Config(**(values | changes))


ANSWERING = {
    "head": "answer",
    "answers": ("n", "y"),
    "prompt_template": "Question: {question} Passage: {passage} Answer:",
    "lora_target_modules": ("q_proj", "v_proj", "lm_head"),
}
"""The same with the answer head, and adapters on it: the tiny base's tokens are letters."""


def put(folder: RunFolder, path: Path, content: Any) -> None:
    """Write a file into a run as the run itself does: JSON, or text and bytes as they are."""
    with folder.change() as change:
        new = change.root / path.relative_to(folder.root)
        new.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            new.write_bytes(content)
        else:
            new.write_text(content if isinstance(content, str) else json.dumps(content))


def weights(folder: RunFolder, seed: int) -> dict[str, torch.Tensor]:
    return load_file(folder.member(MemberId(seed)) / "adapter_model.safetensors")

"""Predictions that know where they come from, and a run folder that has the records of their making."""

import json
from dataclasses import replace

from ensemble_uq_llm.evaluation.records import Protocol
from ensemble_uq_llm.predictions.origin import Origin
from ensemble_uq_llm.run_folder import RunFolder
from small_predictions import predicted

SCALE = {"r": 8, "lora_alpha": 16, "use_rslora": False, "rank_pattern": {}, "alpha_pattern": {}}
SETTINGS = {"prompt_template": "Q: {question}\nA:", "max_length": 64, "cut_column": None, "use_bf16": True}
ORIGIN = Origin(
    weights={f"seed_{seed}": f"weights of {seed}" for seed in (42, 43, 44)},
    base="base00000000ffffffff",
    data="data00000000ffffffff",
    source="validation",
    settings=SETTINGS | {"answers": [" no", " yes"]},
    scales={f"seed_{seed}": SCALE for seed in (42, 43, 44)},
)
"""Of the answer head."""


KNOWN = Protocol(
    base="SmolLM2.gguf", base_digest="0123456789abcdef", dtype="bfloat16",
    prompt="Q: {question}\nA:", chat_template=False, max_length=1024,
    head="answer", answers=(" no", " yes"), answer_token_ids=(645, 4098), read_at="the last token of the prompt",
    adapters="trained", maker="training", modules=("q_proj", "lm_head"), layers="15-29", lora_r=8, lora_alpha=16.0,
    trained_on="train.jsonl", trained_on_digest="fedcba9876543210", train_rows=2250, train_rows_cut=0,
    steps=(141,), batch=16, epochs=1, keep="last", kept_epochs=(1,), learning_rate=5e-4,
    warmup_steps=10, weight_decay=0.01, max_grad_norm=1.0, lora_dropout=0.1, class_weights="none",
    evaluated_on="sst2[validation]", evaluated_on_digest="aaaabbbbccccdddd", evaluated_rows=1000, evaluated_rows_cut=3,
    calibration_rows=250, members=4, pooling="probabilities", ece_bins=15,
)  # fmt: skip
"""Everything known, of the answer head."""


def with_origin(**changes):
    return replace(predicted(), origin=replace(ORIGIN, **changes))


def member_record(seed, *, steps=12, **changes):
    settings = {"batch_size": 8, "gradient_accumulation_steps": 2, "learning_rate": 2e-4, "num_epochs": 3,
                "keep": "last", "lora_r": 8, "lora_alpha": 16.0, "lora_target_modules": ["q_proj", "v_proj"],
                "lora_layers": [2, 5, 6, 7]}  # fmt: skip
    return {"seed": seed, "settings": settings | changes, "data_digest": "train0000000ffffffff",
            "base_digest": ORIGIN.base, "steps": steps, "kept_epoch": None}  # fmt: skip


RECORD = {
    "stages": [
        {"stage": "train", "examples": 90, "cut": 4, "data_digest": "other"},
        {"stage": "train", "examples": 60, "cut": 3, "data_digest": "train0000000ffffffff", "base_digest": ORIGIN.base},
        {"stage": "predict", "name": "validation", "cut": 9, "data_digest": "of earlier data"},
        {"stage": "predict", "name": "validation", "cut": 2, "data_digest": ORIGIN.data},
        {"stage": "predict", "name": "other", "cut": 7, "data_digest": ORIGIN.data},
    ],
    "answer_token_ids": [645, 4098],
}


def run_of(root, *, record=RECORD, members=None, yaml="model_name: {root}/tiny.gguf\ntrain_file: {root}/train.jsonl\n"):
    """A run folder with its configuration, its record and those of its members."""
    folder = RunFolder(root)
    members = {seed: member_record(seed) for seed in (42, 43, 44)} if members is None else members
    with folder.change() as change:
        new = RunFolder(change.root)
        new.config.write_text(yaml.format(root=root) + f"validation_file: {root}/dev.jsonl\nhead: answer\n")
        new.run_record.write_text(json.dumps(record))
        for seed, content in members.items():
            path = change.root / f"seed_{seed}" / "member.json"
            path.parent.mkdir()
            path.write_text(json.dumps(content))
    return folder

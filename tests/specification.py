"""The specification's configuration, key by key."""

from pathlib import Path

SPECIFIED = {
    "model_name": "meta-llama/Llama-3.2-1B",
    "num_labels": 2,
    "max_length": 512,
    "batch_size": 8,
    "learning_rate": 2e-4,
    "num_epochs": 3,
    "gradient_accumulation_steps": 4,
    "warmup_steps": 100,
    "weight_decay": 0.01,
    "lora_r": 8,
    "lora_alpha": 32,
    "lora_dropout": 0.1,
    "seeds": tuple(range(42, 52)),
    "num_ensemble_models": 10,
    "output_dir": Path("model_outputs"),
    "cache_dir": Path("cache"),
    "use_bf16": True,
    "num_gpus": 4,
}

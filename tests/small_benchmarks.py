"""Settings with which the benchmarks on real tasks run in a test, on the embedded base."""

TINY = {
    "lora_layers": [3],
    "lora_target_modules": ["q_proj"],
    "lora_r": 2,
    "batch_size": 8,
    "gradient_accumulation_steps": 1,
    "warmup_steps": 0,
    "calibration_fraction": 0.3,
    "seeds": [1, 2, 3, 4],
    "bootstrap_draws": 100,
    "use_bf16": False,
    "device": "cpu",
}

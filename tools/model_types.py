"""Try every model type of the installed transformers as a base, and print what becomes of it; slow, so no test.

Each type is tried twice: its default configuration without weights, and a tiny model of it with random weights. A
type is taken, or refused with a reason; anything else that is raised is a fault of ours and is printed as such.

    python tools/model_types.py [TYPE ...]
"""

import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

import torch
from transformers import CONFIG_MAPPING, AutoModel
from transformers.utils import logging

from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.models.base import load_decoder, load_skeleton
from ensemble_uq_llm.models.checks.families import PROVEN

TINY = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 97,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "num_experts": 4,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
}
LARGEST = 50_000_000
"""Parameters of a model that is still tiny; a type that ignores TINY is not tried with weights."""


def main() -> None:
    """Print a line a type, and the totals."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    outcomes: Counter[str] = Counter()
    for kind in sys.argv[1:] or sorted(CONFIG_MAPPING):
        with tempfile.TemporaryDirectory() as folder:
            whole, tiny = _default(kind, Path(folder)), _tiny(kind, Path(folder))
        outcomes.update([f"default configuration: {whole.split(':')[0]}", f"tiny model: {tiny.split(':')[0]}"])
        print(f"{kind:28} {whole}\n{'':28} {tiny}", flush=True)
    for outcome, count in sorted(outcomes.items()):
        print(f"{count:5} {outcome}")


def _default(kind: str, folder: Path) -> str:
    try:
        CONFIG_MAPPING[kind]().save_pretrained(folder)
    except Exception as error:  # noqa: BLE001  (transformers' own)
        return f"cannot be made by transformers itself: {_line(error)}"
    return _tried(lambda: load_skeleton(folder, bf16=True, allow_unproven=kind not in PROVEN))


def _tiny(kind: str, folder: Path) -> str:
    try:
        settings = CONFIG_MAPPING[kind](**TINY)
        with torch.device("meta"):
            size = sum(each.numel() for each in AutoModel.from_config(settings).parameters())
        if size > LARGEST:
            return "not tried: it has no tiny form by these sizes"
        model = AutoModel.from_config(settings, dtype=torch.float32)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
        model.save_pretrained(folder)
    except Exception as error:  # noqa: BLE001  (transformers' own)
        return f"cannot be made by transformers itself: {_line(error)}"
    return _tried(lambda: load_decoder(folder, device=torch.device("cpu"), bf16=False, allow_unproven=True))


def _tried(load: object) -> str:
    try:
        load()  # type: ignore[operator]
    except ModelError as error:
        return f"refused: {_line(error)}"
    except BaseException as error:  # noqa: BLE001  (what is looked for)
        return f"TRACEBACK: {type(error).__name__}: {_line(error)}"
    return "taken"


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:180]


if __name__ == "__main__":
    main()

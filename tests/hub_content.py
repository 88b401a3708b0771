"""What the test hub holds: a tiny LLaMA with its tokenizer, a BoolQ of thirty rows, a gated model."""

import io
import json
from functools import cache

from hub_server import Repo

BOOLQ_ROWS = {"train": 20, "validation": 10}
HIDDEN, LAYERS, FFN = 16, 2, 32
MODEL_CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": HIDDEN,
    "intermediate_size": FFN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "dtype": "float32",
}
TOKENIZER_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": "<s>",
    "eos_token": "</s>",
    "model_max_length": 512,
    "clean_up_tokenization_spaces": False,
}
BOOLQ_CARD = """---
license: cc-by-sa-3.0
dataset_info:
  features:
  - name: question
    dtype: string
  - name: answer
    dtype: bool
  - name: passage
    dtype: string
  splits:
  - name: train
    num_bytes: {train_bytes}
    num_examples: 20
  - name: validation
    num_bytes: {validation_bytes}
    num_examples: 10
  download_size: {download_size}
  dataset_size: {dataset_size}
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*
  - split: validation
    path: data/validation-*
---
# BoolQ
"""


def all_repos() -> list[Repo]:
    """Return every repository of the test hub."""
    return [
        Repo(kind="model", name="tests/tiny-llama", files=tiny_llama_files()),
        Repo(kind="dataset", name="google/boolq", files=boolq_files()),
        Repo(kind="model", name="meta-llama/gated", files={"config.json": b"{}"}, gated=True),
        Repo(kind="dataset", name="tests/gated", files={"README.md": b"x"}, gated=True),
    ]


def boolq_rows(split: str) -> list[dict]:
    """Return BoolQ-shaped rows; each split has its own questions."""
    return [
        {
            "question": f"is {split} number {index} even",
            "answer": index % 2 == 0,
            "passage": f"The number {index} is {'even' if index % 2 == 0 else 'odd'}. " * (index + 1),
        }
        for index in range(BOOLQ_ROWS[split])
    ]


@cache
def boolq_files() -> dict[str, bytes]:
    """Return the files of google/boolq, laid out as on the hub."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    files, sizes = {}, {}
    for split in BOOLQ_ROWS:
        buffer = io.BytesIO()
        table = pa.Table.from_pylist(boolq_rows(split))
        pq.write_table(table, buffer)
        files[f"data/{split}-00000-of-00001.parquet"] = buffer.getvalue()
        sizes[f"{split}_bytes"] = table.nbytes
    sizes |= {"dataset_size": sum(sizes.values()), "download_size": sum(map(len, files.values()))}
    return {"README.md": BOOLQ_CARD.format(**sizes).encode(), **files}


@cache
def tiny_tokenizer_json() -> str:
    """Return a byte-level BPE tokenizer as tokenizer.json: any text, 2 special tokens, <s> in front."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<s>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([row["passage"] for row in boolq_rows("train")], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return tokenizer.to_str()


@cache
def tiny_llama_files() -> dict[str, bytes]:
    """Return the folder of a LlamaForCausalLM of about 15,000 parameters, tied embeddings, fp32."""
    import numpy as np
    from safetensors.numpy import save

    vocabulary = len(json.loads(tiny_tokenizer_json())["model"]["vocab"])
    config = MODEL_CONFIG | {"vocab_size": vocabulary}
    rng = np.random.default_rng(0)
    shapes = {"model.embed_tokens.weight": (vocabulary, HIDDEN), "model.norm.weight": (HIDDEN,)}
    for layer in range(LAYERS):
        shapes |= _layer_shapes(f"model.layers.{layer}.")
    weights = {
        name: np.ones(shape, np.float32) if len(shape) == 1 else rng.normal(0, 0.05, shape).astype(np.float32)
        for name, shape in shapes.items()
    }
    return {
        "config.json": json.dumps(config).encode(),
        "model.safetensors": save(weights, metadata={"format": "pt"}),
        "tokenizer.json": tiny_tokenizer_json().encode(),
        "tokenizer_config.json": json.dumps(TOKENIZER_CONFIG).encode(),
    }


def _layer_shapes(prefix: str) -> dict[str, tuple[int, ...]]:
    shapes = {
        "self_attn.q_proj": (HIDDEN, HIDDEN),
        "self_attn.k_proj": (HIDDEN // 2, HIDDEN),
        "self_attn.v_proj": (HIDDEN // 2, HIDDEN),
        "self_attn.o_proj": (HIDDEN, HIDDEN),
        "mlp.gate_proj": (FFN, HIDDEN),
        "mlp.up_proj": (FFN, HIDDEN),
        "mlp.down_proj": (HIDDEN, FFN),
        "input_layernorm": (HIDDEN,),
        "post_attention_layernorm": (HIDDEN,),
    }
    return {f"{prefix}{name}.weight": shape for name, shape in shapes.items()}

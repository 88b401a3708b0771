"""Mutations of the files of model and adapter folders: of what JSON says, of safetensors headers, of any bytes."""

import json
import random
import struct
from pathlib import Path
from typing import Any

STRANGE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3, 7, 0.5, -0.0, 1e-300, 1e300, float("inf"), float("nan"), 2**31, 2**63, 10**12,
    10**400, "", "0", "1e5", "llama", "own.Own", "../../etc/passwd", "/dev/zero", "a\0b", "\ud800", "🙂" * 50,
    "x" * 5000, "(.*)*Z",
    "*(", [], [[]], [0], [None], ["score"], {}, {"": 0}, {"rope_type": "yarn"}, {"type": "Sequence"},
)  # fmt: skip
"""Values that a key could have by mistake or intent."""

KEYS = (
    "num_hidden_layers", "hidden_size", "vocab_size", "num_labels", "head_dim", "rope_parameters", "rope_scaling",
    "sliding_window", "layer_types", "attention_bias", "quantization_config", "auto_map", "text_config", "dtype",
    "to_dict",
    "attribute_map", "__class__", "model_max_length", "added_tokens_decoder", "extra_special_tokens", "pad_token",
    "padding_side", "tokenizer_class", "chat_template", "normalizer", "pre_tokenizer", "post_processor", "truncation",
    "padding", "decoder", "model", "rank_pattern", "alpha_pattern", "layers_to_transform", "layers_pattern", "use_dora",
    "use_rslora", "exclude_modules", "modules_to_save", "fan_in_fan_out", "bias", "init_lora_weights", "runtime_config",
    "target_parameters", "lora_bias", "task_type", "inference_mode", "revision", "id2label", "label2id", "pad_token_id",
    "is_decoder", "tie_word_embeddings", "rms_norm_eps", "initializer_range", "hidden_act", "pretraining_tp",
    "use_cache",
)  # fmt: skip
"""Keys that could be added to a file."""


def mutate(path: Path, dice: random.Random) -> str:
    """Change a file of a folder in one of many ways, and return in words how."""
    body = path.read_bytes()
    if path.suffix == ".json" and dice.random() < 0.75:
        value = json.loads(body)
        how = mutate_json(value, dice)
        text = json.dumps(value)
        if dice.random() < 0.1:
            text, how = with_text(text, dice, how)
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        return f"{path.name}: {how}"
    if path.suffix == ".safetensors" and dice.random() < 0.6:
        changed, how = mutate_header(body, dice)
    else:
        changed, how = mutate_bytes(body, dice)
    path.write_bytes(changed)
    return f"{path.name}: {how}"


def mutate_json(value: Any, dice: random.Random) -> str:
    """Change one place of a JSON object: another value, a key less, a key more."""
    place = value
    path: list[Any] = []
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys or (isinstance(place, dict) and dice.random() < 0.15):
            if isinstance(place, dict):
                key = dice.choice(KEYS)
                place[key] = dice.choice(STRANGE)
                return f"{path} + {key}: {place[key]!r:.60}"
            place.append(dice.choice(STRANGE))
            return f"{path} + {place[-1]!r:.60}"
        key = dice.choice(keys)
        if isinstance(place[key], dict | list) and place[key] and dice.random() < 0.7:
            place, path = place[key], [*path, key]
            continue
        if dice.random() < 0.2:
            del place[key]
            return f"{path} - {key!r:.60}"
        place[key] = dice.choice(STRANGE)
        return f"{path} {key!r:.60} = {place[key]!r:.60}"


def with_text(text: str, dice: random.Random, how: str) -> tuple[str, str]:
    """Change a JSON text into one that JSON's writers do not write."""
    kind = dice.choice(("deep", "twice", "digits", "constant", "BOM"))
    inside = text.rstrip()[:-1]
    comma = ", " if len(inside) > 1 else ""
    ends = {
        "deep": f'{inside}{comma}"x": {"[" * 100_000}{"]" * 100_000}}}',
        "twice": f'{inside}{comma}"r": 1, "r": 2, "hidden_size": 16, "hidden_size": 8}}',
        "digits": f'{inside}{comma}"r": {"9" * 5000}}}',
        "constant": f'{inside}{comma}"x": [NaN, -Infinity]}}',
        "BOM": f"\ufeff{text}",
    }
    return ends[kind], f"{how}, {kind}"


def mutate_header(body: bytes, dice: random.Random) -> tuple[bytes, str]:
    """Change what a safetensors file says of its tensors."""
    [size] = struct.unpack("<Q", body[:8])
    header, data = json.loads(body[8 : 8 + size]), body[8 + size :]
    kind = dice.choice(("size", "entry", "entry", "name", "less", "values"))
    if kind == "size":
        wrong = dice.choice((0, 1, 2**63, 2**64 - 1, 10**8, size - 1, size + 1, len(body)))
        return struct.pack("<Q", wrong) + body[8:], f"header of {wrong} bytes"
    name = dice.choice([each for each in header if each != "__metadata__"])
    how = f"{kind} of {name}"
    if kind == "entry":
        key = dice.choice(("dtype", "shape", "data_offsets"))
        choices = {
            "dtype": ("F64", "F16", "BF16", "I8", "BOOL", "U64", "F8_E4M3", "F4", "C64", "own"),
            "shape": ([], [0], [-1], [2**62, 4], [1] * 100, header[name]["shape"][::-1], "x", None),
            "data_offsets": ([0, 0], [4, 0], [0, 2**63], [0, len(data)], [-4, 4], [], "x"),
        }
        header[name][key] = dice.choice(choices[key])
        how = f"{key} of {name} = {header[name][key]!r:.60}"
    elif kind == "name":
        header[dice.choice(("", "x", name + ".x", name.replace("0", "1"), "\0", "a" * 5000))] = header.pop(name)
    elif kind == "less":
        del header[name]
    else:
        begin, end = header[name]["data_offsets"]
        value = dice.choice((float("nan"), float("inf"), 3e38, -3e38, 0.0))
        data = data[:begin] + struct.pack("<f", value) * ((end - begin) // 4) + data[end:]
        how = f"{name} = {value}"
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data, how


def mutate_bytes(body: bytes, dice: random.Random) -> tuple[bytes, str]:
    """Flip, cut, insert or repeat bytes; the beginning of a file as often as all the rest."""
    at = dice.randrange(min(len(body), 300)) if dice.random() < 0.5 else dice.randrange(len(body))
    kind = dice.choice(("flip", "cut", "insert", "delete", "nothing left"))
    changed = {
        "flip": body[:at] + bytes([body[at] ^ 1 << dice.randrange(8)]) + body[at + 1 :],
        "cut": body[:at],
        "insert": body[:at] + dice.randbytes(dice.randrange(1, 9)) + body[at:],
        "delete": body[:at] + body[at + dice.randrange(1, 9) :],
        "nothing left": b"",
    }
    return changed[kind], f"{kind} at {at}"

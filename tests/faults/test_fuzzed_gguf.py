"""Mutated GGUF files: used, or refused by a named error, soon; what is used is what the mutation left whole."""

import random
import time
from collections import Counter
from pathlib import Path

import pytest
import torch

from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.models.base import load_decoder, load_tokenizer
from ensemble_uq_llm.models.gguf.gguf_header import read_gguf_header
from tiny_gguf import save_gguf

pytest.importorskip("gguf")
CPU = torch.device("cpu")
SECONDS = 2.0
NUMBERS = (0, 1, 2, 7, 8, 9, 31, 33, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**63, 2**64 - 1)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    return save_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", num_hidden_layers=1)


def mutate(body: bytes, dice: random.Random, header: int) -> tuple[bytes, str]:
    """Change some bytes, mostly of the header, and say how."""
    changed = bytearray(body)
    place = dice.randrange(header if dice.random() < 0.9 else len(body))
    kind = dice.choice(("bit", "byte", "number", "number", "cut", "lost", "twice"))
    if kind == "bit":
        changed[place] ^= 1 << dice.randrange(8)
    elif kind == "byte":
        changed[place] = dice.randrange(256)
    elif kind == "number":
        width = dice.choice((4, 8))
        value = dice.choice(NUMBERS) & (2 ** (8 * width) - 1)
        changed[place : place + width] = value.to_bytes(width, "little")
    elif kind == "cut":
        del changed[place:]
    elif kind == "lost":
        del changed[place : place + dice.choice((1, 4, 8, 32))]
    else:
        changed[place:place] = changed[place : place + dice.choice((1, 4, 8, 32))]
    return bytes(changed), f"{kind} at {place}"


def tried(path: Path, how: str) -> str:
    """Use a file, which must end well or in a named error, and soon; return which."""
    began = time.process_time()
    try:
        load_tokenizer(path)
        load_decoder(path, device=CPU, bf16=False)
        result, said = "used", ""
    except ModelError as error:
        result, said = "refused", str(error)
    except BaseException as error:
        raise AssertionError(f"{how}: {type(error).__name__}: {error}") from error
    took = time.process_time() - began
    assert len(said) < 1500, f"{how}: {said[:200]}"
    assert took < SECONDS, f"{how}: {took:.1f} s"
    return result


@pytest.mark.filterwarnings("ignore")
def test_mutated_gguf_files(whole, tmp_path, rounds, tally):
    body, seen, count = whole.read_bytes(), Counter[str](), rounds(300, 10_000)
    header = min(each.place for each in read_gguf_header(whole).tensors.values())
    path = tmp_path / "tiny.gguf"
    for seed in range(count):
        changed, how = mutate(body, random.Random(seed), header)
        path.write_bytes(changed)
        seen[tried(path, f"{seed}: {how}")] += 1
    assert seen["refused"] > count / 4
    assert seen["used"] > 0
    tally(f"{count:,} of {count:,} mutated GGUF files: {dict(seen)}")


def test_a_planted_fault_is_found(whole, monkeypatch):
    """What judges the files above sees an error without a name, and what is slow."""
    from ensemble_uq_llm.models import base

    assert tried(whole, "nothing") == "used"
    monkeypatch.setattr(base, "parse_base_config", lambda path: {}["no such key"])
    with pytest.raises(AssertionError, match="planted: KeyError: 'no such key'"):
        tried(whole, "planted")
    monkeypatch.undo()
    times = iter((0.0, SECONDS + 1))
    monkeypatch.setattr(time, "process_time", lambda: next(times))
    with pytest.raises(AssertionError, match=r"planted: 3.0 s"):
        tried(whole, "planted")

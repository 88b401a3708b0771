"""Mutated model and adapter folders: used, or refused by a named error, soon and in little memory."""

import contextlib
import copy
import random
import resource
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import peft
import pytest
import torch
from folder_mutations import mutate
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from ensemble_uq_llm.errors import DataError, IntegrityError, ModelError
from ensemble_uq_llm.member import trained
from ensemble_uq_llm.models.base import load_decoder, load_tokenizer
from ensemble_uq_llm.models.base_files import base_files, digest_of
from ensemble_uq_llm.models.logits import member_logits
from ensemble_uq_llm.models.lora.peft_folder import WEIGHTS, ensemble_of, read_adapter
from ensemble_uq_llm.models.lora.peft_settings import SETTINGS
from hub_content import tiny_llama_files
from tiny_models import assert_close, classified, random_sequences, sequence_classifier

CPU = torch.device("cpu")
SECONDS = 2.0
MEGABYTES = 1000
LONGEST = 1500
MODEL_FILES = (*("config.json",) * 3, "tokenizer.json", "tokenizer_config.json", "model.safetensors")
SEQUENCES = random_sequences(1, seed=1, lowest=9)


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz") / "base"
    folder.mkdir()
    for name, body in tiny_llama_files().items():
        (folder / name).write_bytes(body)
    return folder


@pytest.fixture(scope="module")
def decoder(base) -> PreTrainedModel:
    return load_decoder(base, device=CPU, bf16=False)


@pytest.fixture(scope="module")
def adapter(finished_run, tmp_path_factory) -> Path:
    """An adapter whose every tensor counts: random ones, far from zero."""
    folder = tmp_path_factory.mktemp("fuzz") / "adapter"
    folder.mkdir()
    shutil.copy(finished_run / "seed_42" / SETTINGS, folder)
    generator = torch.Generator().manual_seed(0)
    tensors = load_file(finished_run / "seed_42" / WEIGHTS)
    save_file({name: torch.randn(each.shape, generator=generator) for name, each in tensors.items()}, folder / WEIGHTS)
    return folder


def spoilt(folder: Path, target: Path, names: tuple[str, ...], dice: random.Random) -> str:
    """Make a copy of the folder in which one file is mutated, once or twice, and say how."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder, target)
    path = target / dice.choice(names)
    how = mutate(path, dice)
    if dice.random() < 0.2 and path.suffix == ".json":
        with contextlib.suppress(ValueError, IndexError, RecursionError):  # no JSON any more, or nothing left
            how += "; " + mutate(path, dice)
    return how


def tried(use: Callable[[], None], how: str) -> str:
    """Use a folder, which must end well or in a named error, and soon; return `used` or the kind of the error."""
    began = time.process_time()
    try:
        use()
        result, said = "used", ""
    except (ModelError, DataError, IntegrityError) as error:
        result, said = type(error).__name__, str(error)
    except BaseException as error:
        raise AssertionError(f"{how}: {type(error).__name__}: {error}") from error
    assert len(said) < LONGEST, f"{how}: {said[:200]}"
    took = time.process_time() - began
    assert took < SECONDS, f"{how}: {took:.1f} s"
    return result


def peak() -> float:
    """Return the most memory that this process ever had, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.mark.filterwarnings("ignore")
def test_mutated_model_folders(base, tmp_path, rounds, tally):
    def use() -> None:
        if changed.name.startswith("tokenizer"):
            load_tokenizer(changed.parent)
        else:
            load_decoder(changed.parent, device=CPU, bf16=False)
        digest_of(base_files(changed.parent))

    before, seen, count = peak(), Counter[str](), rounds(500, 20_000)
    for seed in range(count):
        how = spoilt(base, tmp_path / "base", MODEL_FILES, random.Random(seed))
        changed = tmp_path / "base" / how.partition(":")[0]
        seen[tried(use, f"{seed} {how}")] += 1
    assert peak() - before < MEGABYTES
    assert seen["ModelError"] > count / 4 < count - seen["used"]
    tally(f"{count:,} of {count:,} mutated model folders: {dict(seen)}")


@pytest.mark.filterwarnings("ignore")
def test_mutated_adapter_folders(base, decoder, adapter, tmp_path, rounds, tally):
    """Those that are used compute what they compute with `peft`; a sample of them is compared."""

    def use() -> None:
        ensemble = ensemble_of(copy.deepcopy(decoder), [read_adapter(target)], members=trained((0,)))
        logits.append(member_logits(ensemble.eval(), SEQUENCES, budget=1024)[0])

    target, logits, compared = tmp_path / "adapter", [], 0
    before, seen, count = peak(), Counter[str](), rounds(500, 20_000)
    for seed in range(count):
        how = spoilt(adapter, target, (SETTINGS, SETTINGS, WEIGHTS), random.Random(seed))
        result = tried(use, f"{seed} {how}")
        seen[result] += 1
        if result == "used" and how.startswith(SETTINGS) and compared < count / 20:
            compared += equal_to_peft(base, target, logits[-1], f"{seed} {how}")
    assert peak() - before < MEGABYTES
    assert seen["IntegrityError"] > count / 4
    assert compared > count / 50
    tally(f"{count:,} of {count:,} mutated adapter folders: {dict(seen)}, {compared} compared with peft")


def equal_to_peft(base: Path, folder: Path, ours: torch.Tensor, how: str) -> bool:
    """Compare with `peft`, where it takes the folder at all."""
    model = peft.PeftModel.from_pretrained(sequence_classifier(base, classes=2), str(folder)).eval()
    theirs = classified(model, SEQUENCES)
    assert_close(torch.as_tensor(ours), theirs)
    return True


def test_what_tries_a_folder_notices_planted_faults():
    def raising(error: BaseException) -> Callable[[], None]:
        def use() -> None:
            raise error

        return use

    def slow() -> None:
        began = time.process_time()
        while time.process_time() - began < 1.05 * SECONDS:
            pass

    assert tried(raising(ModelError("refused")), "x") == "ModelError"
    assert tried(lambda: None, "x") == "used"
    for fault, noticed in (
        (raising(KeyError("id")), "x: KeyError: 'id'"),
        (raising(SystemExit(1)), "x: SystemExit: 1"),
        (raising(DataError("a" * LONGEST)), "x: aaa"),
        (slow, r"x: 2\.\d s"),
    ):
        with pytest.raises(AssertionError, match=noticed):
            tried(fault, "x")

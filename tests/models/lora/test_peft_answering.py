"""Members with the answer head on disk: `peft` loads ours without the base's head in them, and we read `peft`'s."""

import json
from pathlib import Path

import numpy as np
import peft
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.errors import IntegrityError
from ensemble_uq_llm.labels.answer_keys import LM_HEAD
from ensemble_uq_llm.member import trained
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.heads.head_kinds import head_kind_of
from ensemble_uq_llm.models.logits import member_logits
from ensemble_uq_llm.models.lora.peft_folder import WEIGHTS, ensemble_of, read_adapter, write_adapter
from ensemble_uq_llm.models.lora.peft_settings import SETTINGS
from ensemble_uq_llm.models.lora.spec import spec_of
from ensemble_uq_llm.training.from_config import base_name, lora_settings
from tiny_models import (
    SHAPE,
    VOCABULARY,
    assert_close,
    padded,
    random_sequences,
    randomise,
    save_tiny_llama,
    sequence_classifier,
    tiny_causal_lm,
    tiny_config,
    tiny_llama,
    train_and_save,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`:UserWarning"),
    pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers` to `True`:UserWarning"),
]

SEQUENCES = random_sequences(6, seed=11, highest=30)
TOKENS = (7, 11, 90)
QV = ("q_proj", "v_proj")
HEAD_B = f"base_model.model.{LM_HEAD}.lora_B.weight"
STORED = f"base_model.model.{LM_HEAD}.base_layer.weight"
CHOICES = {
    "layers only": {"lora_target_modules": QV},
    "layers and head": {"lora_target_modules": (*QV, LM_HEAD)},
    "one layer and head": {"lora_target_modules": (*QV, LM_HEAD), "lora_layers": (1,), "lora_r": 3, "lora_alpha": 5},
    "head only": {"lora_target_modules": (LM_HEAD,)},
}


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def base(request, tmp_path_factory) -> Path:
    return save_tiny_llama(tmp_path_factory.mktemp("base"), tie_word_embeddings=request.param)


def kind_of(base: Path):
    return head_kind_of(base, TOKENS, bf16=False)


def decoder_of(base: Path):
    return tiny_llama(tie_word_embeddings=json.loads((base / "config.json").read_text())["tie_word_embeddings"])


def written(base: Path, folder: Path, **choice) -> tuple[StackedEnsemble, list[Path]]:
    """Return a randomised ensemble and its members' folders."""
    settings = {"lora_r": 4, "lora_alpha": 8, "use_bf16": False, "seeds": (42, 43), "num_labels": 3, "head": "answer"}
    config = Config(model_name=str(base), **settings | choice)
    decoder = decoder_of(base)
    adapters = spec_of(lora_settings(config), decoder, classes=3, head_kind=kind_of(base))
    ensemble = randomise(StackedEnsemble(decoder, spec=adapters, members=trained(config.member_seeds)))
    folders = [folder / f"seed_{seed}" for seed in config.member_seeds]
    for member, each in enumerate(folders):
        each.mkdir()
        write_adapter(ensemble, member, each, settings=lora_settings(config), base=base_name(config))
    return ensemble, folders


def our_logits(ensemble: StackedEnsemble) -> Tensor:
    return torch.from_numpy(member_logits(ensemble, SEQUENCES, budget=10_000))


@torch.no_grad()
def answers_of(model: torch.nn.Module) -> Tensor:
    batch = padded(SEQUENCES)
    last_B = batch["attention_mask"].sum(1) - 1
    return model(**batch).logits[torch.arange(len(last_B)), last_B][:, list(TOKENS)]


def language_model(base: Path) -> torch.nn.Module:
    return AutoModelForCausalLM.from_pretrained(base, attn_implementation="eager")


def peft_logits(base: Path, folder: Path) -> Tensor:
    return answers_of(peft.PeftModel.from_pretrained(language_model(base), str(folder)).eval())


@pytest.mark.parametrize("choice", CHOICES)
def test_peft_loads_a_member_with_equal_logits_and_we_read_it_back(base, tmp_path, choice):
    ensemble, folders = written(base, tmp_path, **CHOICES[choice])
    for logits, folder in zip(our_logits(ensemble), folders, strict=True):
        assert_close(logits, peft_logits(base, folder))
    adapters = [read_adapter(folder, head_kind=kind_of(base)) for folder in folders]
    assert [adapter.classes for adapter in adapters] == [3, 3]
    again = ensemble_of(decoder_of(base), adapters, members=trained((42, 43)))
    assert_close(our_logits(again), our_logits(ensemble))


def test_a_member_is_written_without_the_base_and_with_zeros_for_other_tokens(base, tmp_path):
    ensemble, (folder, _) = written(base, tmp_path, **CHOICES["layers and head"])
    settings = json.loads((folder / SETTINGS).read_text())
    assert (settings["task_type"], settings["modules_to_save"]) == ("CAUSAL_LM", None)
    assert settings["target_modules"] == [LM_HEAD, *QV]
    stored = load_file(folder / WEIGHTS)
    assert not [name for name in stored if ".lora_" not in name]
    b_VR = stored[HEAD_B]
    assert b_VR.shape == (VOCABULARY, 4)
    assert torch.equal(b_VR[list(TOKENS)], ensemble.adapters[LM_HEAD].lora_b_MOR[0])
    assert b_VR.count_nonzero() == b_VR[list(TOKENS)].count_nonzero()
    theirs = tmp_path / "theirs"
    peft.PeftModel.from_pretrained(language_model(base), str(folder)).save_pretrained(theirs)
    saved = load_file(theirs / WEIGHTS)
    assert saved.keys() == {*stored, STORED}, "peft itself stores the base's head"
    assert all(torch.equal(saved[name], stored[name]) for name in stored)


FOREIGN = {
    "layers": {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]},
    "head too, another rank and scale": {"r": 3, "lora_alpha": 7, "target_modules": ["o_proj", LM_HEAD]},
    "rank-stabilised": {"r": 2, "lora_alpha": 4, "target_modules": ["q_proj", LM_HEAD], "use_rslora": True},
    "a rank of its own": {
        "r": 2,
        "lora_alpha": 4,
        "target_modules": ["v_proj", LM_HEAD],
        "rank_pattern": {LM_HEAD: 5},
        "alpha_pattern": {LM_HEAD: 9},
    },
    "head only": {"r": 2, "lora_alpha": 16, "target_modules": [LM_HEAD]},
    "all linear": {"r": 2, "lora_alpha": 4, "target_modules": "all-linear"},
}


def trained_by_peft(base: Path, folder: Path, **settings) -> Path:
    """Train an adapter for a few large steps on all tokens with `peft` alone, save it, and return its folder."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(len(str(folder)))
        lora = peft.LoraConfig(task_type=peft.TaskType.CAUSAL_LM, **settings)
        return train_and_save(language_model(base), lora, loss_of_next_tokens, folder)


def loss_of_next_tokens(model) -> torch.Tensor:
    batch = padded(SEQUENCES)
    logits = model(**batch).logits
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), batch["input_ids"][:, 1:].flatten())


@pytest.fixture(scope="module")
def foreign(base, tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("foreign")
    return {name: trained_by_peft(base, root / str(i), **each) for i, (name, each) in enumerate(FOREIGN.items())}


def test_adapters_of_peft_mix_in_one_ensemble(base, foreign):
    adapters = [read_adapter(folder, head_kind=kind_of(base)) for folder in foreign.values()]
    assert sum(STORED in load_file(folder / WEIGHTS) for folder in foreign.values()) == 4
    ensemble = ensemble_of(decoder_of(base), adapters, members=trained(range(len(adapters))))
    untrained = answers_of(language_model(base))
    for logits, folder in zip(our_logits(ensemble), foreign.values(), strict=True):
        expected = peft_logits(base, folder)
        assert (expected - untrained).abs().max() > 0.1
        assert_close(logits, expected)


@pytest.mark.parametrize("targets", [["q_proj"], ["q_proj", LM_HEAD]])
def test_a_copy_of_the_bias_of_phis_head_is_checked_and_left_out(tmp_path, targets):
    model = tiny_causal_lm(tiny_config("phi"), attention="eager")
    model.save_pretrained(tmp_path / "base")
    lora = peft.LoraConfig(task_type=peft.TaskType.CAUSAL_LM, r=2, target_modules=targets)
    peft.get_peft_model(model, lora).save_pretrained(str(tmp_path / "adapter"), save_embedding_layers=True)
    read = read_adapter(tmp_path / "adapter", head_kind=kind_of(tmp_path / "base"))
    assert (LM_HEAD in read.lora) == (LM_HEAD in targets)
    held = load_file(tmp_path / "adapter" / WEIGHTS)
    [name] = [each for each in held if each.endswith(".bias") and LM_HEAD in each]
    for other, message in (
        (held[name] + 1, "holds other numbers than the base"),
        (held[name][:5], r"has shape \(5,\)"),
    ):
        save_file(held | {name: other.clone()}, tmp_path / "adapter" / WEIGHTS)
        with pytest.raises(IntegrityError, match=rf"lm_head\.(base_layer\.)?bias {message}"):
            read_adapter(tmp_path / "adapter", head_kind=kind_of(tmp_path / "base"))


def test_a_copy_of_the_base_in_half_precision_is_the_bases(base, foreign, tmp_path):
    tensors = load_file(foreign["head only"] / WEIGHTS)
    (tmp_path / SETTINGS).write_bytes((foreign["head only"] / SETTINGS).read_bytes())
    save_file(tensors | {STORED: tensors[STORED].bfloat16()}, tmp_path / WEIGHTS)
    assert set(read_adapter(tmp_path, head_kind=kind_of(base)).lora) == {LM_HEAD}


DAMAGES = {
    "another head": (
        lambda held: held.update({STORED: held[STORED] * 1.01}),
        "lm_head.base_layer.weight holds other numbers than the base",
    ),
    "a head of another size": (
        lambda held: held.update({STORED: torch.ones(5, SHAPE["hidden_size"])}),
        r"lm_head.base_layer.weight has shape \(5, 32\), and the base's has \(97, 32\); was",
    ),
    "B of another size": (
        lambda held: held.update({HEAD_B: held[HEAD_B][:50].clone()}),
        r"'lm_head.lora_B.weight' has shape \(50, 2\), and the base has 97 tokens; was it trained on another base\?",
    ),
    "B that is a vector": (
        lambda held: held.update({HEAD_B: held[HEAD_B][:, 0].clone()}),
        r"'lm_head.lora_B.weight' has shape \(97,\), and the base has 97 tokens",
    ),
    "no A": (lambda held: held.pop(HEAD_B.replace("_B", "_A")), "'lm_head.lora_A.weight' is missing beside 'lm_head"),
    "adapters on the embedding": (
        lambda held: held.update({"base_model.model.model.embed_tokens.lora_embedding_A": torch.ones(2, 97)}),
        "unexpected tensor 'model.embed_tokens.lora_embedding_A'; only LoRA on the decoder's layers and lm_head is",
    ),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGES.values(), ids=DAMAGES.keys())
def test_what_does_not_fit_the_base_is_refused_by_name(base, foreign, tmp_path, damage, message):
    held = load_file(foreign["head only"] / WEIGHTS)
    damage(held)
    save_file(held, tmp_path / WEIGHTS)
    (tmp_path / SETTINGS).write_bytes((foreign["head only"] / SETTINGS).read_bytes())
    with pytest.raises(IntegrityError, match=message):
        read_adapter(tmp_path, head_kind=kind_of(base))


def test_a_head_that_was_trained_whole_is_refused(base, tmp_path):
    folder = trained_by_peft(base, tmp_path, r=2, lora_alpha=4, target_modules=["q_proj"], modules_to_save=[LM_HEAD])
    with pytest.raises(IntegrityError, match=r"lm_head.weight holds other numbers than the base: adapters are read"):
        read_adapter(folder, head_kind=kind_of(base))


def test_a_folder_of_another_head_is_refused_and_the_advice_works(base, foreign):
    with pytest.raises(
        IntegrityError, match=r"task_type 'CAUSAL_LM'; only LORA for SEQ_CLS is read with this head; set head: answer$"
    ):
        read_adapter(foreign["layers"])
    assert read_adapter(foreign["layers"], head_kind=kind_of(base)).lora


def test_a_folder_of_a_classifier_is_refused_with_the_answer_head(base, tmp_path):
    lora = peft.LoraConfig(task_type=peft.TaskType.SEQ_CLS, r=2, target_modules=["q_proj"])
    peft.get_peft_model(sequence_classifier(base, classes=2), lora).save_pretrained(str(tmp_path))
    with pytest.raises(
        IntegrityError, match="only LORA for CAUSAL_LM is read with this head; set head: classification"
    ):
        read_adapter(tmp_path, head_kind=kind_of(base))


def test_settings_without_the_head_do_not_make_peft_read_one(base, tmp_path):
    _, (folder, _) = written(base, tmp_path, **CHOICES["layers and head"])
    settings = json.loads((folder / SETTINGS).read_text())
    (folder / SETTINGS).write_text(json.dumps(settings | {"target_modules": list(QV)}))
    adapter = read_adapter(folder, head_kind=kind_of(base))
    with pytest.raises(IntegrityError, match=r"by its settings PEFT does not read 'lm_head.lora_A.weight'"):
        ensemble_of(decoder_of(base), [adapter], members=trained((1,)))


def test_dtype_of_logits_is_float32(base, tmp_path):
    ensemble, _ = written(base, tmp_path)
    assert our_logits(ensemble).numpy().dtype == np.float32

import json
from pathlib import Path

import peft
import pytest
import torch
from safetensors.torch import load_file
from weight_bench import SEEDS, parents_of, put_on

from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.models.logits import member_logits
from ensemble_uq_llm.models.lora.peft_folder import BaseName, ensemble_of, read_adapter
from ensemble_uq_llm.posteriors.maker import seeded
from ensemble_uq_llm.posteriors.mc_dropout import McDropout
from ensemble_uq_llm.posteriors.sample_folders import Lineage, parent_of, write_samples
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.storage.manifest import read_manifest
from tiny_models import ALL_TARGETS, classified, random_sequences, save_tiny_llama, sequence_classifier, tiny_llama

SEQUENCES = random_sequences(6, seed=11, highest=30)
TRAINED = {"settings": {"lora_r": 4}, "steps": 12, "kept_epoch": None, "final_train_loss": 0.3, "history": []}


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return save_tiny_llama(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def written(base, tmp_path_factory):
    """Two samples of three members that adapt every layer, and the folder that they are in."""
    parents = parents_of(targets=ALL_TARGETS, rank=3, alpha=5)
    made = McDropout(rate=0.3).make(parents, 2, seeded("mc_dropout"))
    folder = RunFolder(tmp_path_factory.mktemp("samples") / "run")
    with folder.owned("test"), folder.change() as change:
        write_samples(parents.ensemble, made, change, lineage=_lineage(base))
    return parents, made, folder


def _lineage(base):
    return Lineage(
        maker=McDropout(rate=0.3),
        generator_seed=0,
        parents=[parent_of(Path(f"/runs/first/seed_{seed}"), f"weights of {seed}", TRAINED) for seed in SEEDS],
        base_digest="the base's",
        data_digests=["the data's", "the data's", None],
        base=BaseName(name=str(base)),
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_no_sample(base, tmp_path, value):
    parents = parents_of(targets=ALL_TARGETS, rank=3, alpha=5)
    made = McDropout(rate=0.3).make(parents, 2, seeded("mc_dropout"))
    next(iter(made.samples[1][1].values()))[0, 0] = value
    folder = RunFolder(tmp_path / "run")
    what = rf"mc_dropout: sample 2 of seed {SEEDS[1]} has weights that are not finite; its settings are rate=0\.3:"
    with folder.owned("test"), pytest.raises(ConfigError, match=what), folder.change() as change:
        write_samples(parents.ensemble, made, change, lineage=_lineage(base))
    assert not folder.members()


def test_every_sample_of_every_member_has_its_folder(written):
    _, _, folder = written
    assert folder.members() == [MemberId(seed, sample) for seed in SEEDS for sample in (1, 2)]


def test_a_sample_reloads_in_peft_with_equal_logits(written, base):
    _, made, folder = written
    for index, seed in enumerate(SEEDS):
        own = parents_of(targets=ALL_TARGETS, rank=3, alpha=5)
        put_on(own.ensemble, index, made.samples[index][1])
        ours = torch.from_numpy(member_logits(own.ensemble, SEQUENCES, budget=4096)[index])
        model = peft.PeftModel.from_pretrained(
            sequence_classifier(base, classes=2), str(folder.member(MemberId(seed, 2)))
        ).eval()
        theirs = classified(model, SEQUENCES)
        assert (ours - theirs).abs().max() / theirs.abs().max() < 1e-6


def test_our_reader_gives_back_the_very_numbers(written):
    parents, made, folder = written
    adapters = [read_adapter(folder.member(MemberId(seed, 1))) for seed in SEEDS]
    again = ensemble_of(tiny_llama(), adapters, members=[MemberId(seed, 1) for seed in SEEDS])
    for name, stack in again.named_stacks():
        for index, own in enumerate(made.samples):
            expected = own[0].get(name, parents.stacks()[name][index])
            if "lora_B" in name:
                expected = expected * (5 / 3)  # the scale, which reading moves into B
            assert torch.equal(stack[index], expected)


def test_the_members_are_as_they_were(written):
    parents, _, _ = written
    fresh = parents_of(targets=ALL_TARGETS, rank=3, alpha=5)
    assert all(torch.equal(stack, fresh.stacks()[name]) for name, stack in parents.stacks().items())


def test_the_lineage_stands_in_its_record_and_in_the_manifest(written):
    _, made, folder = written
    record = json.loads(folder.member_record(MemberId(43, 2)).read_text())
    assert record | {"weights_sha256": ""} == {
        "seed": 43,
        "sample": 2,
        "maker": "mc_dropout",
        "maker_settings": {"rate": 0.3},
        "generator_seed": 0,
        "parent": {
            "folder": "/runs/first/seed_43",
            "weights_sha256": "weights of 43",
            "training": {key: value for key, value in TRAINED.items() if key != "history"},
        },
        "facts": {"rate": 0.3},
        "base_digest": "the base's",
        "data_digest": "the data's",
        "weights_sha256": "",
    }
    files = read_manifest(folder.root).files
    weights = "seed_{}_sample_1/adapter_model.safetensors"
    assert files[weights.format(43)].made_from == {"base": "the base's", "data": "the data's"}
    assert files[weights.format(44)].made_from == {"base": "the base's"}
    assert "data_digest" not in json.loads(folder.member_record(MemberId(44, 1)).read_text())
    stored = load_file(folder.member_weights(MemberId(43, 2)))
    name = "model.layers.0.self_attn.q_proj.lora_A.weight"
    assert torch.equal(stored[f"base_model.model.{name}"], made.samples[1][1][name])


def test_adapters_from_elsewhere_have_no_training_to_tell():
    assert parent_of(Path("/a"), "w", None) == {"folder": "/a", "weights_sha256": "w"}

"""Each member of an ensemble against the model that `peft` builds of the same weights."""

import math

import pytest
import torch
import transformers
from torch import Generator, Tensor

from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.member import trained
from ensemble_uq_llm.models.checks.families import PROVEN
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.lora.spec import AdapterSpec
from ensemble_uq_llm.models.pack import make_pack
from tiny_models import (
    ALL_TARGETS,
    EVERY_FAMILY,
    FUSED_TARGETS,
    assert_close,
    classified,
    padded,
    peft_member,
    random_sequences,
    randomise,
    save_tiny_llama,
    spec,
    tiny_config,
    tiny_decoder,
    tiny_ensemble,
    tiny_llama,
)

CPU = torch.device("cpu")
QV = ("q_proj", "v_proj")
INIT_SPEC = {"rank": 8, "targets": ALL_TARGETS, "classes": 3}


def member_logits(ensemble: StackedEnsemble, sequences: list) -> list[Tensor]:
    """Return every member's logits [B, C], all from one pack."""
    pack = make_pack([(member, sequences) for member in range(len(ensemble.members))], device=CPU)
    return list(ensemble(pack).unflatten(0, (len(ensemble.members), len(sequences))))


def fresh(seeds, **adapters) -> dict[str, dict[int, Tensor]]:
    """Return the initial tensors by name and seed."""
    decoder = tiny_llama()
    ensemble = StackedEnsemble(decoder, spec=spec(decoder=decoder, **INIT_SPEC | adapters), members=trained(seeds))
    return {name: dict(zip(seeds, stack.detach(), strict=True)) for name, stack in ensemble.named_stacks()}


@pytest.mark.parametrize(
    ("targets", "layers"),
    [
        *(((target,), None) for target in ALL_TARGETS),
        (QV, None),
        (("k_proj", "o_proj"), None),
        (("gate_proj", "up_proj", "down_proj"), None),
        (ALL_TARGETS, None),
        (ALL_TARGETS, (0,)),
        (ALL_TARGETS, (1,)),
    ],
    ids=str,
)
def test_each_member_equals_peft_for_every_choice_of_modules(targets, layers):
    ensemble = tiny_ensemble(targets=targets, layers=layers, classes=3)
    sequences = random_sequences(5, seed=1)
    for member, logits in enumerate(member_logits(ensemble, sequences)):
        alone = peft_member(tiny_llama(), ensemble, member, targets=targets, rank=4, alpha=8, layers=layers)
        assert_close(logits.detach(), classified(alone, sequences))


@pytest.mark.parametrize("family", EVERY_FAMILY)
def test_each_member_equals_peft_in_every_family(family):
    targets = FUSED_TARGETS.get(family, ALL_TARGETS)
    ensemble = tiny_ensemble(family, targets=targets, rank=3, alpha=5)
    sequences = random_sequences(5, seed=2, highest=20)
    for member, logits in enumerate(member_logits(ensemble, sequences)):
        base = tiny_decoder(tiny_config(family))
        alone = peft_member(base, ensemble, member, targets=targets, rank=3, alpha=5)
        assert_close(logits.detach(), classified(alone, sequences))


def test_the_table_holds_the_types_that_are_proved_here():
    assert {family.partition("-")[0] for family in EVERY_FAMILY} == set(PROVEN)


def test_gradients_equal_those_of_peft():
    ensemble = tiny_ensemble(targets=ALL_TARGETS)
    sequences = random_sequences(4, seed=3)
    logits = torch.stack(member_logits(ensemble, sequences))
    sent = torch.randn(logits.shape, generator=Generator().manual_seed(0))
    names = [name for name, _ in ensemble.named_stacks()]
    gradients = dict(zip(names, torch.autograd.grad(logits, ensemble.trainable(), sent), strict=True))
    for member in range(3):
        alone = peft_member(tiny_llama(), ensemble, member, targets=ALL_TARGETS, rank=4, alpha=8)
        alone(**padded(sequences)).logits.backward(sent[member])
        inner = alone.base_model.model
        for name, gradient in gradients.items():
            module = name.removesuffix(".weight")
            module = f"{module}.modules_to_save" if module == "score" else module
            assert_close(gradient[member], inner.get_submodule(f"{module}.default").weight.grad)


@pytest.mark.parametrize("seeds", [(7,), tuple(range(100, 132))], ids=["K=1", "K=32"])
def test_one_member_and_thirty_two(seeds, tmp_path):
    ensemble = tiny_ensemble(seeds=seeds)
    sequences = random_sequences(3, seed=4, highest=15)
    logits = member_logits(ensemble, sequences)
    assert len(logits) == len(seeds)
    folder = save_tiny_llama(tmp_path)
    for member in {0, len(seeds) - 1}:
        alone = peft_member(folder, ensemble, member, targets=QV, rank=4, alpha=8)
        assert_close(logits[member].detach(), classified(alone, sequences))


def test_a_text_of_exactly_the_longest_length():
    longest = 64
    decoder = tiny_llama(max_position_embeddings=longest)
    ensemble = randomise(StackedEnsemble(decoder, spec=spec(decoder=decoder), members=trained((1, 2))))
    sequences = random_sequences(1, seed=5, lowest=longest, highest=longest) + random_sequences(1, seed=6)
    base = tiny_llama(max_position_embeddings=longest)
    alone = peft_member(base, ensemble, 1, targets=QV, rank=4, alpha=8)
    assert_close(member_logits(ensemble, sequences)[1].detach(), classified(alone, sequences))


def test_a_member_answers_the_same_in_any_company():
    sequences = random_sequences(6, seed=7)
    alone = member_logits(tiny_ensemble(seeds=(43,)), sequences)[0]
    for seeds in ((42, 43, 44), (9, 8, 43), (43, 1)):
        among = member_logits(tiny_ensemble(seeds=seeds), sequences)
        assert_close(among[seeds.index(43)].detach(), alone.detach())
        assert (among[seeds.index(43) - 1] - alone).abs().max() > 0.01


def test_a_poisoned_member_leaves_the_others_bit_equal():
    # Long ones: PyTorch's CPU attention answers numbers to a NaN query where a sequence has few tokens.
    sequences = random_sequences(4, seed=8, lowest=20)
    healthy, poisoned = tiny_ensemble(), tiny_ensemble()
    with torch.no_grad():
        poisoned.trainable()[0][1] = float("nan")
    expected, actual = (member_logits(each, sequences) for each in (healthy, poisoned))
    assert actual[1].isnan().all()
    assert torch.equal(actual[0], expected[0])
    assert torch.equal(actual[2], expected[2])
    for ensemble, logits in ((healthy, expected), (poisoned, actual)):
        torch.stack(logits).square().sum().backward()
        assert all(stack.grad is not None for stack in ensemble.trainable())
    for mine, theirs in zip(healthy.trainable(), poisoned.trainable(), strict=True):
        assert torch.equal(mine.grad[[0, 2]], theirs.grad[[0, 2]])


def test_dropout_belongs_to_a_member_and_ends_with_the_pass():
    ensemble = tiny_ensemble(dropout=0.4, targets=ALL_TARGETS)
    pack = make_pack([(member, random_sequences(3, seed=9)) for member in range(3)], device=CPU)

    def dropped(*seeds: int) -> list[Tensor]:
        generators = [Generator().manual_seed(seed) for seed in seeds]
        return list(ensemble(pack, dropout_generators=generators).detach().split(3))

    still = ensemble(pack).detach().split(3)
    first, again, other = dropped(1, 2, 3), dropped(1, 2, 3), dropped(1, 5, 3)
    assert all(map(torch.equal, first, again))
    assert [torch.equal(*pair) for pair in zip(first, other, strict=True)] == [True, False, True]
    assert not any(map(torch.equal, first, still))
    assert all(map(torch.equal, still, ensemble(pack).detach().split(3)))


def test_only_the_stacks_are_trained():
    ensemble = tiny_ensemble(targets=ALL_TARGETS)
    trained = [parameter for parameter in ensemble.parameters() if parameter.requires_grad]
    assert {id(each) for each in trained} == {id(each) for each in ensemble.trainable()}
    assert {(len(each), each.dtype) for each in trained} == {(3, torch.float32)}
    names = [name for name, _ in ensemble.named_stacks()]
    assert len(set(names)) == len(names) == 2 * 7 * 2 + 1


@pytest.mark.parametrize("seeds", [(43,), (44, 43, 42), (43, 0), tuple(range(50, 30, -1))], ids=str)
def test_initialisation_depends_on_the_seed_alone(seeds):
    usual, here = fresh((42, 43)), fresh(seeds)
    assert usual.keys() == here.keys()
    for name in usual:
        assert torch.equal(here[name][43], usual[name][43])


def test_initialisation_does_not_depend_on_what_else_is_adapted():
    everything = fresh((42, 43))
    for adapters in ({"targets": ("v_proj",)}, {"targets": ("down_proj", "q_proj"), "layers": (1,)}):
        few = fresh((42, 43), **adapters)
        assert len(few) < len(everything)
        assert all(torch.equal(few[name][seed], everything[name][seed]) for name in few for seed in (42, 43))


def test_no_two_initial_tensors_are_equal():
    random = [each for name, by_seed in fresh((42, 43)).items() if "lora_B" not in name for each in by_seed.values()]
    hashes = {each.flatten()[:20].numpy().tobytes() for each in random}
    assert len(hashes) == len(random) == 2 * (7 * 2 + 1)


def test_initialisation_has_the_distribution_of_peft():
    rank, seeds = 8, tuple(range(20))
    initial = fresh(seeds)
    reference_ensemble = tiny_ensemble(seeds=(0,), **INIT_SPEC)
    reference = peft_member(tiny_llama(), reference_ensemble, 0, targets=ALL_TARGETS, rank=rank, alpha=8)
    for name, by_seed in initial.items():
        values = torch.stack(list(by_seed.values()))
        if ".lora_B." in name:
            assert values.count_nonzero() == 0
        elif ".lora_A." in name:
            module = reference.base_model.model.get_submodule(name.partition(".lora_A.")[0])
            module.reset_lora_parameters("default", init_lora_weights=True)
            theirs = module.lora_A["default"].weight
            bound = 1 / math.sqrt(values.shape[-1])  # kaiming_uniform with a = sqrt(5)
            assert theirs.abs().max() <= bound, "that is not what peft draws from"
            assert module.lora_B["default"].weight.count_nonzero() == 0
            assert 0.99 * bound < values.abs().max() <= bound
            assert values.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
            assert values.mean().item() == pytest.approx(0, abs=0.05 * bound)
        else:
            assert name == "score.weight"
            std = tiny_config().initializer_range
            assert values.std().item() == pytest.approx(std, rel=0.1)
            assert values.mean().item() == pytest.approx(0, abs=0.1 * std)


def test_a_model_of_another_kind_is_refused():
    gpt2 = transformers.GPT2Model(transformers.GPT2Config(n_layer=1, n_embd=8, n_head=2, vocab_size=5))
    with pytest.raises(ModelError, match="GPT2Model is not a decoder of the LLaMA kind"):
        StackedEnsemble(
            gpt2,
            spec=AdapterSpec(rank=1, scaling=1, dropout=0, classes=2, modules=()),
            members=trained((1,)),
        )

import torch
from weight_bench import parents_of

from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.posteriors.maker import Need, seeded
from ensemble_uq_llm.posteriors.registry import REGISTRY


def test_every_use_of_chance_has_its_own_stream_whatever_the_company():
    uses = [(MemberId(seed), sample, use) for seed in (1, 2) for sample in (1, 2) for use in ("a", "b")]
    drawn = {each: seeded("x")(*each).initial_seed() for each in uses}
    assert len({*drawn.values()}) == len(uses)
    assert drawn == {each: seeded("x")(*each).initial_seed() for each in reversed(uses)}
    assert seeded("y")(*uses[0]).initial_seed() != drawn[uses[0]] != seeded("x", seed=1)(*uses[0]).initial_seed()


def test_parents_give_their_stacks_by_the_names_of_peft():
    parents = parents_of()
    stacks = parents.stacks()
    assert len(stacks) == 2 * 2 * 2 + 1  # A and B on q and v of two layers, and the head
    assert stacks["score.weight"].shape == (3, 2, 32)
    assert not any(stack.requires_grad for stack in stacks.values())
    assert torch.equal(stacks["score.weight"], parents.ensemble.head.weight_MCH)
    assert [member.seed for member in parents.members] == [42, 43, 44]


def test_every_maker_says_what_it_needs():
    assert all(kind.needs <= {*Need} and Need.WEIGHTS in kind.needs for kind in REGISTRY.values())

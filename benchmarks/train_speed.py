"""Is joint training faster than `peft`, one seed after another, and how far is it from the machine's limit?

    python benchmarks/train_speed.py embedded
    python benchmarks/train_speed.py folder --model FOLDER --train-file train.jsonl
    python benchmarks/train_speed.py smollm-135m --members 4 --set gradient_accumulation_steps=1
    python benchmarks/train_speed.py llama-1b            (two of its layers where there is no GPU)

Both sides train the same rows from the same initial weights with the same settings. First a check without dropout:
two steps of the first two members must give the peer's losses and gradient norms. Then the sides take turns, block by
block; a ratio is that of a round's costs per real token, and the report is the median of the rounds' ratios.
"""

import argparse
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np
import torch
from numpy.typing import NDArray

from arithmetic import GIGA, least_flops, matrix_rate
from cases import Case, add_options, as_tokenized, case_of, device_of, fresh_ensemble
from ensemble_uq_llm.models.base import load_skeleton
from ensemble_uq_llm.models.trunk import cache_trunk
from ensemble_uq_llm.training.state import new_state
from ensemble_uq_llm.training.step import Trainer, train_step
from peer import MODES, Peer, grouped_steps, member_tensors
from sides import Side, print_ratios, take_turns

CHECK_STEPS, CHECK_MEMBERS = 2, 2
TOLERANCE = {False: 5e-5, True: 5e-2}
"""How far the check's losses and gradient norms may differ relative to the largest; True is bfloat16."""
MIB = 1 << 20
STEPS = 10_000


class Ours:
    """Joint training of K members; a block is one optimiser step of all of them."""

    def __init__(self, case: Case, members: int) -> None:
        self.case, self.members = case, members
        self.trainer = make_trainer(case, members)

    def check(self) -> NDArray[np.float64]:
        """Return the losses and gradient norms of the first steps: [steps, 2, members]."""
        trainer = make_trainer(for_check(self.case), self.members)
        norms: list[list[float]] = []

        def note(*_: object) -> None:
            gradients = [stack.grad for stack in trainer.state.ensemble.trainable()]
            squares = [each.double().square().flatten(1).sum(1) for each in gradients if each is not None]
            norms.append(torch.stack(squares).sum(0).sqrt().tolist())

        trainer.state.optimizer.register_step_pre_hook(note)
        losses = [train_step(trainer, self._rows(step)).tolist() for step in range(CHECK_STEPS)]
        return np.stack([losses, norms], axis=1)

    def block(self, index: int) -> int:
        """Take one step."""
        rows = self._rows(index)
        train_step(self.trainer, rows)
        return int(sum(self.case.lengths_N[own].sum() for own in rows))

    def _rows(self, step: int) -> list[NDArray[np.int64]]:
        return [self.case.rows(member, step) for member in range(self.members)]


class PeerTraining:
    """One `peft` run after another; a block is one optimiser step of the next `members_per_block` members."""

    def __init__(self, case: Case, mode: str, members: int, members_per_block: int) -> None:
        self.case, self.members, self.members_per_block = case, members, members_per_block
        self.peer = Peer(case, mode=mode)
        self.steps = grouped_steps(case, seed=0) if mode == "grouped" else None

    def check(self) -> NDArray[np.float64]:
        """Return the same for the first members only: the peer takes its time."""
        case = for_check(self.case)
        peer = Peer(case, mode=self.peer.mode)
        ensemble = fresh_ensemble(case, range(self.members))
        results = []
        for member in range(min(self.members, CHECK_MEMBERS)):
            peer.start_member(member_tensors(ensemble, member))
            results.append([peer.step(case.rows(member, step)) for step in range(CHECK_STEPS)])
        return np.array(results).transpose(1, 2, 0)

    def block(self, index: int) -> int:
        """Take one step as each of the next members; grouped, the epoch's next steps."""
        tokens = 0
        for turn in range(self.members_per_block):
            member = (index * self.members_per_block + turn) % self.members
            rows = self.case.rows(member, index) if self.steps is None else next(self.steps)
            self.peer.step(rows)
            tokens += int(self.case.lengths_N[rows].sum())
        return tokens


def make_trainer(case: Case, members: int) -> Trainer:
    """Return our trainer of so many fresh members."""
    config = case.config
    data = as_tokenized(case)
    state = new_state(fresh_ensemble(case, range(members)), config, steps=STEPS)
    return Trainer(
        state=state,
        data=data,
        max_grad_norm=config.max_grad_norm,
        trunk=cache_trunk(state.ensemble, data.sequences, budget=state.budget),
    )


def for_check(case: Case) -> Case:
    """Return the case without dropout, warm-up and clipping: what both sides can compute alike."""
    return case.changed(lora_dropout=0.0, warmup_steps=0, max_grad_norm=0.0)


def check_equal(case: Case, ours: Side, peers: Sequence[Side]) -> None:
    """Stop unless every peer computed the same losses and gradient norms."""
    own = ours.check()
    for peer in peers:
        theirs = peer.check()
        error = float((np.abs(own[..., : theirs.shape[2]] - theirs).max((0, 2)) / np.abs(theirs).max((0, 2))).max())
        allowed = TOLERANCE[case.config.use_bf16]
        print(f"check against {peer.name}: losses and gradient norms within {error:.1e} (allowed {allowed:.0e})")
        if not error <= allowed:
            raise SystemExit(f"the joint engine and {peer.name} disagree: nothing is timed")


def report(case: Case, members: int, ours: Side, peers: Sequence[Side]) -> None:
    """Print the rates and the ratios."""
    config = case.config
    device, dtype = device_of(config), torch.bfloat16 if config.use_bf16 else torch.float32
    limit = matrix_rate(device, dtype)
    flops = least_flops(load_skeleton(case.base, bf16=config.use_bf16).config, case.lengths_N, rank=config.lora_r)
    step_tokens = case.lengths_N.mean() * config.effective_batch_size
    print(f"largest matrix product: {limit / GIGA:,.0f} GFLOP/s; the job: {flops.training / GIGA:.4f} GFLOP a token")
    print("| side | tokens/s | s per member-step | GFLOP/s | share of the product | peak MiB | rounds |")
    print("|---|---|---|---|---|---|---|")
    for side in (ours, *peers):
        speed = side.tokens_per_second()
        rate = speed * flops.training
        print(
            f"| {side.name} | {speed:,.0f} | {step_tokens / speed:.4f} | {rate / GIGA:,.1f} | {rate / limit:.1%} "
            f"| {side.peak_bytes() / MIB:,.0f} | {len(side.blocks)} |"
        )
    print_ratios(ours, peers)


def main() -> None:
    """Check, time in turns, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--members-per-block", type=int, default=1, help="member-steps in a peer's block")
    add_options(parser, rounds=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        case = case_of(asked, scratch)
        print(f"{asked.members} members, {case.describe()}")
        ours = stack.enter_context(Side("joint", Ours, case, asked.members))
        peers = [
            stack.enter_context(Side(f"peft {mode}", PeerTraining, case, mode, asked.members, asked.members_per_block))
            for mode in asked.modes
        ]
        check_equal(case, ours, peers)
        take_turns([ours, *peers], asked.rounds)
        report(case, asked.members, ours, peers)


if __name__ == "__main__":
    main()

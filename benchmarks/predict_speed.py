"""Is evaluating K members jointly faster than loading one `peft` model per seed and evaluating one after another?

    python benchmarks/predict_speed.py embedded
    python benchmarks/predict_speed.py folder --model FOLDER --train-file dev.jsonl
    python benchmarks/predict_speed.py llama-1b          (two of its layers where there is no GPU)

Loading is not timed on either side. First a check: every member's logits must be those of its `peft` model. Then
the sides take turns; a ratio is that of a round's costs per real token and member, the report is the rounds' median.
`grouped` sorts the rows by length.
"""

import argparse
import tempfile
from contextlib import ExitStack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator

from arithmetic import GIGA, least_flops, matrix_rate
from cases import Case, add_options, case_of, device_of, fresh_ensemble
from ensemble_uq_llm.models.base import load_skeleton
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.logits import member_logits
from ensemble_uq_llm.models.memory import token_budget
from peer import MODES, Peer, member_tensors
from sides import Side, print_ratios, take_turns

CHECK_ROWS, CHECK_MEMBERS = 64, 2
TOLERANCE = {False: 5e-5, True: 5e-2}
"""How far the check's logits may differ relative to the largest; True is bfloat16."""
MIB = 1 << 20


class Ours:
    """All members at once; a block is every member on all rows."""

    def __init__(self, case: Case, members: int, rows: int) -> None:
        self.case, self.members, self.rows = case, members, rows
        self.ensemble = trained_ensemble(case, members)
        decoder, wanted = self.ensemble.decoder, case.config.tokens_per_pass
        self.budget = token_budget(decoder, wanted=wanted, training=False, device=device_of(case.config))

    def check(self) -> NDArray[np.float32]:
        """Return the first members' logits on the first rows."""
        return member_logits(self.ensemble, self.case.sequences[: min(CHECK_ROWS, self.rows)], budget=self.budget)[
            :CHECK_MEMBERS
        ]

    def block(self, index: int) -> int:
        """Predict everything."""
        member_logits(self.ensemble, self.case.sequences[: self.rows], budget=self.budget)
        return self.members * int(self.case.lengths_N[: self.rows].sum())


class PeerPrediction:
    """One `peft` model per seed; a block is one member on all rows."""

    def __init__(self, case: Case, mode: str, members: int, rows: int) -> None:
        self.case = case
        self.peer = Peer(case, mode=mode)
        ensemble = trained_ensemble(case, members)
        self.members = [member_tensors(ensemble, member) for member in range(members)]
        order = np.argsort(-case.lengths_N[:rows], kind="stable")
        self.order = order if mode == "grouped" else np.arange(len(order))

    def check(self) -> NDArray[np.float32]:
        """Return the first members' logits on the first rows."""
        logits = []
        for tensors in self.members[:CHECK_MEMBERS]:
            self.peer.start_member(tensors)
            logits.append(self.peer.evaluate(np.arange(min(CHECK_ROWS, len(self.order)))))
        return np.stack(logits)

    def block(self, index: int) -> int:
        """Predict all rows as the next member."""
        self.peer.start_member(self.members[index % len(self.members)])
        self.peer.evaluate(self.order)
        return int(self.case.lengths_N[self.order].sum())


@torch.no_grad()
def trained_ensemble(case: Case, members: int) -> StackedEnsemble:
    """Return members whose adapters say something, as trained ones do, the same in every process."""
    ensemble = fresh_ensemble(case, range(members))
    generator = Generator().manual_seed(0)
    for name, stack in ensemble.named_stacks():
        if ".lora_B." in name:
            stack.copy_(torch.randn(stack.shape, generator=generator) * 0.02)
    return ensemble.eval()


def report(case: Case, ours: Side, peers: list[Side], *, members: int, rows: int) -> None:
    """Print the rates and the ratios."""
    config = case.config
    dtype = torch.bfloat16 if config.use_bf16 else torch.float32
    limit = matrix_rate(device_of(config), dtype)
    flops = least_flops(load_skeleton(case.base, bf16=config.use_bf16).config, case.lengths_N, rank=config.lora_r)
    print(f"largest matrix product: {limit / GIGA:,.0f} GFLOP/s; the job: {flops.evaluation / GIGA:.4f} GFLOP a token")
    print(f"| side | tokens/s | s for {members} members on {rows} rows | share of the product | peak MiB |")
    print("|---|---|---|---|---|")
    tokens = members * case.lengths_N[:rows].sum()
    for side in (ours, *peers):
        speed = side.tokens_per_second()
        share = speed * flops.evaluation / limit
        print(f"| {side.name} | {speed:,.0f} | {tokens / speed:.2f} | {share:.1%} | {side.peak_bytes() / MIB:,.0f} |")
    print_ratios(ours, peers)


def main() -> None:
    """Check, time in turns, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=3270)
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    add_options(parser, rounds=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        case = case_of(asked, scratch)
        rows = min(asked.rows, len(case.sequences))
        print(f"{asked.members} members, {case.describe()}, {rows} rows")
        ours = stack.enter_context(Side("joint", Ours, case, asked.members, rows))
        peers = [
            stack.enter_context(Side(f"peft {mode}", PeerPrediction, case, mode, asked.members, rows))
            for mode in asked.modes
        ]
        expected = ours.check()
        for peer in peers:
            error = float(np.abs(expected - peer.check()).max() / np.abs(expected).max())
            print(f"check against {peer.name}: logits within {error:.1e} of the largest")
            if not error <= TOLERANCE[case.config.use_bf16]:
                raise SystemExit(f"the joint engine and {peer.name} disagree: nothing is timed")
        take_turns([ours, *peers], asked.rounds)
        report(case, ours, peers, members=asked.members, rows=rows)


if __name__ == "__main__":
    main()

"""How does the cost of joint training grow: with the members, the length of prompts, the size of a pass, the layers?

    python benchmarks/scaling.py members embedded
    python benchmarks/scaling.py lengths embedded
    python benchmarks/scaling.py passes folder --model FOLDER --train-file train.jsonl
    python benchmarks/scaling.py layers smollm-135m --members 4

Every line of a table is a process of its own; they take turns, round by round, and a ratio is that of a round's
costs per real token against the line it is compared with. First a check: what does not depend on the quantity that
is varied must be equal, so that a line which computes something else cannot win.
"""

import argparse
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

import numpy as np

from cases import Case, add_options, case_of
from ensemble_uq_llm.models.base import load_skeleton
from sides import Side, ratios, take_turns
from train_speed import MIB, TOLERANCE, Ours

MEMBERS = (1, 2, 5, 10, 20, 50)
LENGTHS = (16, 32, 64, 128, 256, 512)
PASSES = (1024, 2048, 4096, 8192, 16384)


def lines_of(what: str, case: Case, members: int) -> list[tuple[str, Case, int]]:
    """Return the lines of a table: name, case, and members of each."""
    if what == "members":
        return [(f"{k} members", case, k) for k in MEMBERS]
    if what == "lengths":
        return [(f"prompts of {length} tokens", of_length(case, length), members) for length in LENGTHS]
    if what == "passes":
        return [(f"passes of {budget:,} tokens", case.changed(tokens_per_pass=budget), members) for budget in PASSES]
    layers = load_skeleton(case.base, bf16=case.config.use_bf16).config.num_hidden_layers
    upper = case.changed(lora_layers=tuple(range(layers // 2, layers)))
    return [("adapters in all layers", case, members), ("in the upper half", upper, members)]


def of_length(case: Case, length: int) -> Case:
    """Return the case with prompts of one length: its own tokens, repeated or cut."""
    return replace(case, sequences=[np.resize(tokens, length).astype(np.int32) for tokens in case.sequences])


def check_equal(what: str, case: Case, sides: Sequence[Side]) -> None:
    """Stop unless the first member's losses and gradients are the same whatever is varied."""
    if what in ("lengths", "layers"):
        print("no check: other prompts, or other adapters, have other losses")
        return
    first, *others = (side.check()[..., 0] for side in sides)
    error = max(float((np.abs(first - each) / np.abs(first).max(0)).max()) for each in others)
    allowed = TOLERANCE[case.config.use_bf16]
    print(f"check: the first member's losses and gradient norms agree within {error:.1e} (allowed {allowed:.0e})")
    if not error <= allowed:
        raise SystemExit("the lines disagree: nothing is timed")


def report(sides: Sequence[Side], members: Sequence[int], base: Side) -> None:
    """Print a line a side; costs are those of a real token of one member."""
    print(f"| line | tokens/s | cost against {base.name} | lowest | highest | of CPU seconds | peak MiB |")
    print("|---|---|---|---|---|---|---|")
    for side in sides:
        wall, cpu = ratios(base, side), ratios(base, side, cpu=True)
        print(
            f"| {side.name} | {side.tokens_per_second():,.0f} | {np.median(wall):.2f} | {wall.min():.2f} | "
            f"{wall.max():.2f} | {np.median(cpu):.2f} | {side.peak_bytes() / MIB:,.0f} |"
        )
    if len(set(members)) > 1:
        several = [np.median(ratios(base, side)) for side, count in zip(sides, members, strict=True) if count > 1]
        print(
            f"cost of a member from {members[1]} to {members[-1]}: highest / lowest = {max(several) / min(several):.2f}"
        )


def main() -> None:
    """Check, time in turns, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["members", "lengths", "passes", "layers"])
    add_options(parser, rounds=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        case = case_of(asked, scratch)
        lines = lines_of(asked.what, case, asked.members)
        print(f"{asked.what}, {case.describe()}")
        sides = [stack.enter_context(Side(name, Ours, own, members)) for name, own, members in lines]
        check_equal(asked.what, case, sides)
        take_turns(sides, asked.rounds)
        # Against one member pooling has nothing to share, so the cost of members is compared with two.
        report(sides, [members for _, _, members in lines], sides[1] if asked.what == "members" else sides[0])


if __name__ == "__main__":
    main()

"""Does training ten members need more memory than one, beyond their adapters and the passes under way?

    python benchmarks/peak_memory.py [--members 10] [--set KEY=VALUE ...]

Trains one epoch in a fresh process with 1 and with K members and compares the processes' peak resident memory.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

MIB = 1 << 20
CHILD = """
import json, resource, sys
from ensemble_uq_llm import load_config, train
from ensemble_uq_llm.training.planning.dry_run import dry_run
config = load_config(sys.argv[1] or None, sys.argv[2:])
plan = dry_run(config)
train(config)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({
    "peak": peak,
    "adapters": plan.adapters_and_optimizer_bytes,
    "pass": plan.pass_bytes,
    "tokens_per_pass": plan.tokens_per_pass,
}))
"""


def measure(members: int, config: str, overrides: list[str]) -> dict[str, int]:
    """Train one epoch in a process of its own; all bytes."""
    with tempfile.TemporaryDirectory() as folder:
        own = ["num_epochs=1", f"seeds=[{','.join(map(str, range(members)))}]", "num_ensemble_models=null"]
        command = [sys.executable, "-W", "ignore", "-c", CHILD, config, *overrides, *own, f"output_dir={folder}/run"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure, compare with the allowance, and say whether it holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--config", default="src/ensemble_uq_llm/assets/demo.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    config = str(Path(arguments.config))
    one = measure(1, config, arguments.set)
    many = measure(arguments.members, config, arguments.set)
    extra = many["peak"] - one["peak"]
    adapters = many["adapters"] - one["adapters"]
    allowed = adapters + many["pass"]
    print(f"peak resident memory   1 member: {one['peak'] / MIB:8.1f} MiB")
    print(f"peak resident memory {arguments.members:3} members: {many['peak'] / MIB:8.1f} MiB")
    print(
        f"more: {extra / MIB:.1f} MiB; allowed: {allowed / MIB:.1f} MiB = adapters and optimiser {adapters / MIB:.1f}"
    )
    print(f"  + the passes under way, of {many['tokens_per_pass']:,} tokens, {many['pass'] / MIB:.1f} (estimated)")
    print("holds" if extra <= allowed else "DOES NOT HOLD")


if __name__ == "__main__":
    main()

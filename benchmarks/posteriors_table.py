"""The tables of the bake-off in docs/methods.md, from what `posteriors.py` has left.

    python benchmarks/posteriors_table.py --out OUT [--real-out OUT] [--page docs/methods.md]

Prints them, or puts them between the page's markers. Numbers are read, not measured again; what was not run is said.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ensemble_uq_llm.utils.files import write_text
from posterior_bench.tables import world_tables
from posterior_bench.tasks.real_parts import TASKS
from posterior_bench.tasks.real_tables import real_tables
from real_tasks_table import between_markers

BEGIN, END = "<!-- bake-off: begin -->", "<!-- bake-off: end -->"


def measured_in(out: Path) -> list[dict[str, Any]]:
    """Return what was measured in a folder, in the order of the files' names."""
    paths = sorted((out / "measured").glob("*.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def tables_of(out: Path, real_out: Path) -> str:
    """Return all tables, those of the world first."""
    world = [each for each in measured_in(out) if "questions" in each]
    real = {each["task"]: each for each in measured_in(real_out) if "task" in each}
    tasks = list(dict.fromkeys([*TASKS, *real]))
    return f"{world_tables(world)}\n\n{real_tables(real, tasks)}\n"


def main(argv: Sequence[str] | None = None) -> None:
    """Write or print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/posteriors"))
    parser.add_argument("--real-out", type=Path, help="the --out of --real, where it is another")
    parser.add_argument("--page", type=Path, help="the page whose tables are replaced; without, they are printed")
    arguments = parser.parse_args(argv)
    tables = tables_of(arguments.out, arguments.real_out or arguments.out)
    if arguments.page is None:
        sys.stdout.write(tables)
        return
    try:
        page = between_markers(arguments.page.read_text(encoding="utf-8"), tables, begin=BEGIN, end=END)
    except ValueError as error:
        parser.error(f"--page {arguments.page}: {error}")
    write_text(arguments.page, page)


if __name__ == "__main__":
    main()

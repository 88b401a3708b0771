"""The tables of docs/results.md, from what `real_tasks.py` has left.

    python benchmarks/real_tasks_table.py --out OUT [--page docs/results.md]

Prints them, or puts them between the page's markers. Numbers are read, not computed again; what was not run is said.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ensemble_uq_llm.utils.files import write_text
from real.plans import PLANS
from real.reading import read_task
from real.tables import page_tables

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def between_markers(page: str, tables: str, *, begin: str = BEGIN, end: str = END) -> str:
    """Return a page with its tables replaced; raises ValueError where it has not each marker once."""
    if page.count(begin) != 1 or page.count(end) != 1 or page.index(begin) > page.index(end):
        raise ValueError(f"the page must hold {begin} and then {end}, each once")
    before, after = page.partition(begin)[0], page.partition(end)[2]
    return f"{before}{begin}\n\n{tables}\n{end}{after}"


def main(argv: Sequence[str] | None = None) -> None:
    """Write or print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/real_tasks"))
    parser.add_argument("--page", type=Path, help="the page whose tables are replaced; without, they are printed")
    arguments = parser.parse_args(argv)
    tables = page_tables([read_task(arguments.out.absolute(), plan) for plan in PLANS])
    if arguments.page is None:
        sys.stdout.write(tables)
        return
    try:
        page = between_markers(arguments.page.read_text(encoding="utf-8"), tables)
    except ValueError as error:
        parser.error(f"--page {arguments.page}: {error}")
    write_text(arguments.page, page)


if __name__ == "__main__":
    main()

"""The bake-off's tables as Markdown: only what was measured, and "not run" for what was not."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from ensemble_uq_llm.statistics.significance import p_in_words
from ensemble_uq_llm.utils.text import counted
from posterior_bench.contests import QUALITIES, Contest, Quality, Record, contests, settle, verdict
from posterior_bench.methods import CLOSED_FORM, Method, methods
from posterior_bench.paired import MOST_FLIPPED, Difference, paired
from posterior_bench.world.worlds import SHIFTS
from real.tables import markdown

NOTHING: Final = "—"
COMMAND: Final = "python benchmarks/posteriors.py"
_PLACES: Final = {"truth/kl": 4, "aurc": 4}


def world_tables(records: Sequence[Record]) -> str:
    """Return the tables of the world, a block for every number of questions."""
    if not records:
        return f"### The world\n\nnot run: `{COMMAND}`"
    sizes = sorted({each["questions"] for each in records})
    return "\n\n".join(_block([each for each in records if each["questions"] == size]) for size in sizes)


def _block(records: Sequence[Record]) -> str:
    questions, members = records[0]["questions"], records[0]["members"]
    parts = [
        f"### {questions:,} questions",
        f"{counted(len(records), 'training set')}, {counted(members, 'member')} each; the mean over training sets, "
        "and half of its 95% interval.",
        markdown(_HEADER, list(_rows(records))),
        markdown(("AUROC of entropy / mutual information", *SHIFTS), list(_shift_rows(records))),
        _flips(len(records)),
        *(_contest(each, records) for each in contests()),
    ]
    return "\n\n".join(parts)


_HEADER: Final = ("who answers", *(quality.title for quality in QUALITIES), "making, s")


def _rows(records: Sequence[Record]) -> Iterator[tuple[str, ...]]:
    for method in methods():
        own = [each for each in records if method.name in each["methods"]]
        if not own:
            if not method.many:
                yield method.title, "not run", *[NOTHING] * len(QUALITIES)
            continue
        cells = [
            _mean([each["methods"][method.name].get(quality.name) for each in own], quality) for quality in QUALITIES
        ]
        lacking = "" if len(own) == len(records) else f" ({len(own)} of {len(records)} sets)"
        yield f"{method.title}{lacking}", *cells, _seconds(own, method)


def _mean(values: Sequence[float | None], quality: Quality) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return NOTHING
    found, places = paired(known), _PLACES.get(quality.name, 3)
    reach = "" if found.ci95 is None else f" ± {found.ci95[1] - found.mean:.{places}f}"
    return f"{found.mean:.{places}f}{reach}"


def _seconds(records: Sequence[Record], method: Method) -> str:
    """Return what was spent: training for the members themselves, or making, beside the training of the parents."""
    name = CLOSED_FORM if method.name.startswith(CLOSED_FORM) else method.name if method.maker else "members"
    known = [each["cost"]["seconds"][name] for each in records if name in each["cost"]["seconds"]]
    if not known or (not method.maker and name == "members" and method.parents == "one"):
        return NOTHING
    return f"{np.mean(known):.0f}{'' if method.maker or name == CLOSED_FORM else ' (training)'}"


def _shift_rows(records: Sequence[Record]) -> Iterator[tuple[str, ...]]:
    for method in methods():
        own = [each["methods"][method.name] for each in records if method.name in each["methods"]]
        if own:
            yield method.title, *(_detection(own, name) for name in SHIFTS)


def _detection(own: Sequence[Mapping[str, float]], name: str) -> str:
    def mean(score: str) -> str:
        known = [each[f"auroc/{name}/{score}"] for each in own if f"auroc/{name}/{score}" in each]
        return f"{np.mean(known):.3f}" if known else NOTHING

    return f"{mean('entropy')} / {mean('mutual_information')}"


def _flips(sets: int) -> str:
    if sets == 1:
        return "One training set shows nothing of another: there are no intervals."
    if sets > MOST_FLIPPED:
        return "The intervals are Student's t over training sets."
    least = 2.0 ** (1 - sets)
    return (
        f"The intervals are Student's t over {sets} training sets. The exact test, by flipping signs, cannot fall "
        f"below p = 2/{2**sets} = {least:.2g} with so few{', so the verdicts lean on t' if least > 0.05 else ''}."
    )


def _contest(contest: Contest, records: Sequence[Record]) -> str:
    settled = settle(contest, records)
    rows = []
    for method in contest.contenders:
        found = [settled[quality.name].get(method.name) for quality in QUALITIES]
        if any(each is not None for each in found):
            cells = (_difference(each, quality) for each, quality in zip(found, QUALITIES, strict=True))
            rows.append((method.title, *cells))
    if not rows:
        return f"**{contest.title}** not run"
    header = ("difference", *(quality.title for quality in QUALITIES))
    return f"**{contest.title}**\n\n{markdown(header, rows)}"


def _difference(found: Difference | None, quality: Quality) -> str:
    if found is None:
        return NOTHING
    if found.ci95 is None or found.p_holm is None:
        return f"{found.mean:+.4f} (one set)"
    low, high = found.ci95
    told = verdict(found, quality)
    words = told if told == "nothing shows" else f"**{told}**"
    return f"{found.mean:+.4f} ({low:+.4f} to {high:+.4f}), {p_in_words(found.p_holm)}: {words}"

"""The bake-off's tables of real tasks: intervals over test rows, of one training set each."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from ensemble_uq_llm.statistics.significance import SIGNIFICANCE_LEVEL, holm, p_in_words
from posterior_bench.methods import ENSEMBLE_TEMPERATURE, FIRST_TEMPERATURE, Method, contenders, methods
from posterior_bench.tasks.real_measured import COMPARED
from real.tables import markdown

NOTHING: Final = "—"
COMMAND: Final = "python benchmarks/posteriors.py --real --data DATA --base BASE"
_TITLES: Final = {"nll": "NLL", "brier": "Brier", "ece": "ECE, freed of noise", "aurc": "AURC"}
_QUALITY: Final = {"accuracy": ".1%", "nll": ".4f", "brier": ".4f", "ece": ".3f", "aurc": ".4f"}


def real_tables(records: Mapping[str, Mapping[str, Any]], tasks: Sequence[str]) -> str:
    """Return the tables of these tasks; of those that were not run, that."""
    return "\n\n".join(
        _block(records[task]) if task in records else f"### {task}\n\nnot run: `{COMMAND} --task {task}`"
        for task in tasks
    )


def _block(record: Mapping[str, Any]) -> str:
    header = ("who answers", "accuracy", "NLL", "Brier", "ECE", "if calibrated", "AURC", "making, s")
    parts = [
        f"### {record['task']}",
        f"{record['rows']:,} test rows, {record['members']} members, one training set: the intervals are of the test "
        "rows, and say nothing of how another training set would come out.",
        markdown(header, list(_rows(record))),
    ]
    singles = [each for each in contenders() if each.parents == "one"]
    for baseline, rivals in (
        (FIRST_TEMPERATURE, [ENSEMBLE_TEMPERATURE]),
        (FIRST_TEMPERATURE, singles),
        (ENSEMBLE_TEMPERATURE, singles),
        (ENSEMBLE_TEMPERATURE, [each for each in contenders() if each.parents == "all"]),
    ):
        if rows := list(_differences(record, baseline.name, rivals)):
            parts.append(markdown((f"minus {baseline.title.strip('*')}", *_TITLES.values()), rows))
    return "\n\n".join(parts)


def _rows(record: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for which, words in (("raw", ""), ("scaled", " + temperature")):
        own = record["mean_member"][which]
        values = [_cell(own[name], name) for name in ("accuracy", "nll", "brier", "ece")]
        yield (
            f"one member{words} (mean of all)",
            *values,
            f"{record['mean_member']['ece_floor'][which]:.3f}",
            _cell(own["aurc"], "aurc"),
            NOTHING,
        )
    for method in methods():
        found = record["methods"].get(method.name)
        if found is None:
            continue
        values = [_cell(found[name], name) for name in ("accuracy", "nll", "brier", "ece")]
        seconds = record["seconds"].get(method.name)
        made = NOTHING if seconds is None else f"{seconds:.0f}"
        floor = found["ece"]["noise_floor"]
        shown = NOTHING if floor is None else f"{floor['mean']:.3f}"
        yield method.title, *values, shown, _cell(found["aurc"], "aurc"), made


def _cell(estimate: Mapping[str, Any], name: str) -> str:
    form, interval = _QUALITY[name], estimate["ci95"]
    told = f"{estimate['value']:{form}}"
    return told if interval is None else f"{told} ({interval[0]:{form}} to {interval[1]:{form}})"


def _differences(record: Mapping[str, Any], baseline: str, rivals: Sequence[Method]) -> Iterator[tuple[str, ...]]:
    """Yield the rivals' differences to a baseline, their p-values adjusted for the number of rivals."""
    against = record["against"][baseline]
    there = [each for each in rivals if each.name in against]
    adjusted = {name: _adjusted({each.name: against[each.name][name] for each in there}) for name in COMPARED}
    for method in there:
        cells = (_difference(against[method.name][name], adjusted[name].get(method.name)) for name in COMPARED)
        yield method.title, *cells


def _adjusted(differences: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    tested = {name: each["p_value"] for name, each in differences.items() if each["p_value"] is not None}
    return dict(zip(tested, holm(list(tested.values())), strict=True))


def _difference(found: Mapping[str, Any], p_holm: float | None) -> str:
    if found["value"] is None:
        return NOTHING
    told = f"{found['value']:+.4f}"
    if found["ci95"] is None or p_holm is None:
        return told
    low, high = found["ci95"]
    shows = p_holm < SIGNIFICANCE_LEVEL
    words = "nothing shows" if not shows else "**better**" if found["value"] < 0 else "**worse**"
    return f"{told} ({low:+.4f} to {high:+.4f}), {p_in_words(p_holm)}: {words}"

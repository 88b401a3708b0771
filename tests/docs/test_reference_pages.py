"""The reference pages and the code name the same keys, scores, metrics and files."""

import dataclasses
import re
import typing
from collections.abc import Iterator
from pathlib import Path

from documents import DOCUMENTS, first_cells, section
from ensemble_uq_llm.evaluation.quality.metrics import METRICS
from ensemble_uq_llm.evaluation.records import SetMetrics
from ensemble_uq_llm.evaluation.scores import ANSWER_MASS, SCORES
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.storage.change import STAGING
from ensemble_uq_llm.storage.lock import LOCK

METRICS_PAGE, SCORES_PAGE = DOCUMENTS["docs/metrics.md"], DOCUMENTS["docs/scores.md"]
RUN_FOLDER_PAGE = DOCUMENTS["docs/run_folder.md"]


def test_every_key_of_the_metrics_json_is_documented_and_no_other():
    documented = {
        name: keys for level, name in re.findall(r"^(#+) (\w+)$", METRICS_PAGE, re.MULTILINE)
        if (keys := keys_of(f"{level} {name}"))
    }  # fmt: skip
    assert documented == {record.__name__: fields_of(record) for record in set(records_within(SetMetrics))}


def test_every_score_and_metric_has_its_row_and_no_other():
    scores = first_cells(section(SCORES_PAGE, "## Scores of uncertainty"))
    metrics = first_cells(section(SCORES_PAGE, "## Metrics of quality"))
    assert scores == [score.name for score in (*SCORES, ANSWER_MASS)]
    assert metrics == [metric.name for metric in METRICS]


def test_every_file_of_a_run_is_documented_and_no_other():
    folder = RunFolder(Path())
    files = [folder.config, folder.run_record, folder.events, folder.report, folder.decision]
    files += [getattr(folder, kind)("NAME") for kind in ("predictions", "examples", "uncertainty", "scores", "metrics")]
    files += [folder.answers("NAME"), folder.answers("NAME", ".json"), folder.member_record(MemberId(42))]
    folders = [f"{folder.member(member).as_posix()}/" for member in (MemberId(42), MemberId(42, 3))]
    folders += [f"{folder.tensorboard.as_posix()}/", "wandb/", f"{folder.checkpoints.as_posix()}/"]
    folders += [folder.manifest.as_posix(), LOCK, f"{STAGING}/"]
    table = section(RUN_FOLDER_PAGE, "# What is in a run folder").partition("\n## ")[0]
    assert sorted(first_cells(table)) == sorted([*(file.as_posix() for file in files), *folders])


def records_within(kind: object) -> Iterator[type]:
    """Yield the records that an annotation holds, and those of their fields."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        yield kind
        for annotation in typing.get_type_hints(kind).values():
            yield from records_within(annotation)
    for inner in typing.get_args(kind):
        yield from records_within(inner)


def fields_of(record: type) -> dict[str, bool]:
    """Return the keys of a record, and whether each has a default."""
    missing = dataclasses.MISSING
    return {
        field.name: field.default is not missing or field.default_factory is not missing
        for field in dataclasses.fields(record)
    }


def keys_of(heading: str) -> dict[str, bool]:
    """Return the keys in the table below a heading, and whether each is marked with a star."""
    own, _, _ = section(METRICS_PAGE, heading).partition("\n#")
    _, _, rows = own.partition("| key | form | content |")
    cells = re.findall(r"^\| (.*?) \|", rows, re.MULTILINE)
    return {key: bool(star) for cell in cells for key, star in re.findall(r"`(\w+)`(\*?)", cell)}

"""The page: from a run folder to `report.html`, section by section."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from ensemble_uq_llm.outgoing.safe_text import safe_text
from ensemble_uq_llm.report.formats import few_members_in_words
from ensemble_uq_llm.report.sections.class_by_class import class_by_class
from ensemble_uq_llm.report.sections.class_sets import class_sets
from ensemble_uq_llm.report.sections.confidence import confidence
from ensemble_uq_llm.report.sections.how_many import how_many
from ensemble_uq_llm.report.sections.in_numbers import in_numbers
from ensemble_uq_llm.report.sections.making import making
from ensemble_uq_llm.report.sections.member_by_member import member_by_member
from ensemble_uq_llm.report.sections.other_data import other_data
from ensemble_uq_llm.report.sections.to_read import to_read
from ensemble_uq_llm.report.sections.unsure_of import unsure_of
from ensemble_uq_llm.report.sections.when_to_abstain import when_to_abstain
from ensemble_uq_llm.report.source import ReportSource, read_source
from ensemble_uq_llm.report.verdict import verdict
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.utils.files import AnyPath, as_path, write_text
from ensemble_uq_llm.utils.text import counted


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section of the report."""

    name: str
    """Its anchor, and its template `assets/report/NAME.html.j2`."""
    title: str
    content: Callable[[ReportSource], object | None]
    """What the template shows; None leaves the section out."""


SECTIONS = (
    Section(name="in_numbers", title="In numbers", content=in_numbers),
    Section(name="class_by_class", title="Class by class", content=class_by_class),
    Section(name="confidence", title="Can its confidence be believed?", content=confidence),
    Section(name="when_to_abstain", title="When should it abstain?", content=when_to_abstain),
    Section(name="unsure_of", title="What it is unsure of", content=unsure_of),
    Section(name="other_data", title="On other data", content=other_data),
    Section(name="how_many", title="Do I need them all?", content=how_many),
    Section(name="member_by_member", title="Member by member", content=member_by_member),
    Section(name="class_sets", title="Sets instead of answers", content=class_sets),
    Section(name="to_read", title="Examples to read", content=to_read),
    Section(name="making", title="How it was made", content=making),
)
"""The sections in the order of the page."""


def write_report(run: AnyPath) -> Path:
    """Write the report of what was evaluated in a run's folder, and return its path.

    Every number of it stands in the metrics JSONs, and the learning curves in the training's log; predictions are
    not read. Example texts, configuration and run record are shown where they are there.

    Raises:
        DataError: nothing has been evaluated, or an example file cannot be used.
        ConfigError: the run's `config.yaml` cannot be used.
        IntegrityError: a metrics JSON or `run.json` is torn.
    """
    folder = RunFolder(as_path(run, "run"))
    with folder.owned("report"):
        source = read_source(folder)
        shown = [(section, content) for section in SECTIONS if (content := section.content(source)) is not None]
        page = _environment().get_template("report.html.j2")
        text = page.render(name=folder.root.resolve().name, verdict=verdict(source), source=source, sections=shown)
        with folder.change() as change:
            write_text(RunFolder(change.root).report, text)
            if not folder.manifest.exists():  # metrics of an earlier version: what was shown is recorded, too
                for path in folder.evaluated():
                    change.adopt(path)
            change.binds(folder.report, folder.digests(folder.metrics(name) for name in source.sets))
    return folder.report


def _safe(value: Any) -> Any:
    """Make safe whatever a template shows, drawings too."""
    return type(value)(safe_text(value, keep="\n\t")) if isinstance(value, str) else value


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ensemble_uq_llm", "assets"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_safe,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["counted"] = counted
    environment.globals["few_members_in_words"] = few_members_in_words
    return environment

"""The page: from a run folder to `report.html`, section by section."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from ensemble_uq_llm.report.sections.class_sets import sets
from ensemble_uq_llm.report.sections.confidence import calibration
from ensemble_uq_llm.report.sections.how_many import size
from ensemble_uq_llm.report.sections.in_numbers import numbers
from ensemble_uq_llm.report.sections.making import making
from ensemble_uq_llm.report.sections.member_by_member import members
from ensemble_uq_llm.report.sections.other_data import shift
from ensemble_uq_llm.report.sections.to_read import examples
from ensemble_uq_llm.report.sections.unsure_of import uncertainty
from ensemble_uq_llm.report.sections.when_to_abstain import abstention
from ensemble_uq_llm.report.source import ReportSource, read_source
from ensemble_uq_llm.report.verdict import verdict
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.utils.files import AnyPath, write_text


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section of the report."""

    name: str
    """Its anchor, and its template `assets/report/NAME.html.j2`."""
    title: str
    content: Callable[[ReportSource], dict[str, Any] | None]
    """What the template shows; None leaves the section out."""


SECTIONS = (
    Section(name="numbers", title="In numbers", content=numbers),
    Section(name="calibration", title="Can its confidence be believed?", content=calibration),
    Section(name="abstention", title="When should it abstain?", content=abstention),
    Section(name="uncertainty", title="What it is unsure of", content=uncertainty),
    Section(name="shift", title="On other data", content=shift),
    Section(name="size", title="Do I need them all?", content=size),
    Section(name="members", title="Member by member", content=members),
    Section(name="sets", title="Sets instead of answers", content=sets),
    Section(name="examples", title="Examples to read", content=examples),
    Section(name="making", title="How it was made", content=making),
)
"""The sections in the order of the page."""


def write_report(run: AnyPath) -> Path:
    """Write the report of what was evaluated in a run's folder, and return its path.

    Every number of it stands in the metrics JSONs; predictions are not read. Example texts, configuration and
    run record are shown where they are there.

    Raises:
        DataError: nothing has been evaluated, or an example file cannot be used.
        ConfigError: the run's `config.yaml` cannot be used.
        IntegrityError: a metrics JSON or `run.json` is torn.
    """
    folder = RunFolder(Path(run))
    source = read_source(folder)
    shown = [(section, content) for section in SECTIONS if (content := section.content(source)) is not None]
    page = _environment().get_template("report.html.j2")
    write_text(
        folder.report,
        page.render(name=folder.root.resolve().name, verdict=verdict(source), source=source, sections=shown),
    )
    return folder.report


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("ensemble_uq_llm", "assets"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

"""The report: one HTML file that opens anywhere, without network, and says what the ensemble does not know."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from ensemble_uq_llm.config_file import load_config
from ensemble_uq_llm.errors import IntegrityError
from ensemble_uq_llm.inference import report_sections
from ensemble_uq_llm.inference.bootstrap import DRAWS
from ensemble_uq_llm.inference.evaluate import Evaluation, evaluate_run
from ensemble_uq_llm.inference.report_sections import Content, ReportSource, verdict
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.utils.files import write_text


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section of the report, in the order of the page."""

    name: str
    """Its anchor, and its template `assets/report/NAME.html.j2`."""
    title: str
    content: Callable[[ReportSource], Content | None]
    """What the template shows; None leaves the section out."""


SECTIONS = (
    Section(name="numbers", title="In numbers", content=report_sections.numbers),
    Section(name="calibration", title="Can its confidence be believed?", content=report_sections.calibration),
    Section(name="uncertainty", title="What it is unsure of", content=report_sections.uncertainty),
    Section(name="shift", title="On other data", content=report_sections.shift),
    Section(name="members", title="Member by member", content=report_sections.members),
    Section(name="examples", title="Examples to read", content=report_sections.examples),
    Section(name="making", title="How it was made", content=report_sections.making),
)


def write_report(folder: RunFolder, *, evaluations: Mapping[str, Evaluation] | None = None) -> Path:
    """Write the report of a run and return its path.

    Args:
        folder: the run; its texts, configuration and record are shown where they are there.
        evaluations: what `evaluate_run` returned; where this is not given it is called with the bootstrap that
            the run's configuration asks for.

    Raises:
        DataError: there are no predictions, or a file cannot be used.
        ConfigError: the run's `config.yaml` cannot be used.
        IntegrityError: `run.json` is torn.
    """
    config = load_config(folder.config) if folder.config.exists() else None
    draws, seed = (config.bootstrap_draws, config.bootstrap_seed) if config else (DRAWS, 0)
    source = ReportSource(
        folder=folder,
        evaluations=evaluations or evaluate_run(folder, draws=draws, seed=seed),
        config=config,
        record=_read_record(folder.run_record),
    )
    shown = [(section, content) for section in SECTIONS if (content := section.content(source)) is not None]
    page = _environment().get_template("report.html.j2")
    name = folder.root.resolve().name
    write_text(folder.report, page.render(name=name, verdict=verdict(source), set_name=source.name, sections=shown))
    return folder.report


def _read_record(path: Path) -> Mapping[str, Any]:
    if not path.exists():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise IntegrityError(f"{path}: this is no JSON ({error}); restore it or delete it") from error
    if not isinstance(record, dict):
        raise IntegrityError(f"{path}: this is no JSON object; restore it or delete it")
    return record


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("ensemble_uq_llm", "assets"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

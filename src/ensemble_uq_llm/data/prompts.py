"""The prompt template: literal text with `{column}` fields, such as `Question: {question}`."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Final

from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.labels.option_letters import OPTIONS_FIELD
from ensemble_uq_llm.utils.suggest import did_you_mean
from ensemble_uq_llm.utils.text import clipped, counted

MOST_FIELDS: Final = 256
COLUMN_NAME: Final = re.compile(r"[^\W\d][\w -]*")


@dataclass(frozen=True, kw_only=True)
class Template:
    """A parsed template. The prompt is each piece's literal text followed by its column's, in order."""

    pieces: tuple[tuple[str, str | None], ...]
    """(literal, column); the last column is None where literal text ends the template."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the template names, each once, in order."""
        return tuple(dict.fromkeys(column for _, column in self.pieces if column is not None))

    def render(self, fields: Mapping[str, str]) -> str:
        """Return the prompt for one example's fields."""
        return "".join(literal + (fields[column] if column is not None else "") for literal, column in self.pieces)

    def around(self, column: str) -> tuple["Template", "Template"]:
        """Return what stands before and after the one field of a column, each as a template.

        The prompt of an example is `before`, the column's text, `after`: the column's text can be cut
        without touching the rest. Raises ConfigError if the column does not stand exactly once.
        """
        places = [place for place, (_, name) in enumerate(self.pieces) if name == column]
        if len(places) != 1:
            hint = did_you_mean(column, self.columns) if not places else ""
            times = f"{len(places)} times" if places else "not at all"
            raise ConfigError(
                f"cut_column: the column that is cut, {clipped(column)}, stands {times} in the prompt template{hint}"
            )
        literal, _ = self.pieces[places[0]]
        before = (*self.pieces[: places[0]], (literal, None))
        return Template(pieces=before), Template(pieces=self.pieces[places[0] + 1 :])


def parse_template(text: str) -> Template:
    """Parse a template. Raises ConfigError that names the piece which is not a plain `{column}`."""
    try:
        pieces = tuple(Formatter().parse(text))
    except ValueError as error:
        raise ConfigError(
            f"prompt_template {clipped(text)}: {error}; write {{{{ and }}}} for braces as text"
        ) from error
    for _, column, spec, conversion in pieces:
        if column is not None and (spec or conversion or not COLUMN_NAME.fullmatch(column)):
            bad = column + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "")
            plain = "only plain column names may stand in braces, as in {question}"
            raise ConfigError(f"prompt_template {clipped(text)}: {{{clipped(bad)[1:-1]}}} cannot be used; {plain}")
    template = Template(pieces=tuple((literal, column) for literal, column, _, _ in pieces))
    if not template.columns:
        raise ConfigError(f"prompt_template {clipped(text)}: it names no column; write for example {{question}}")
    if (fields := sum(column is not None for _, column in template.pieces)) > MOST_FIELDS:
        raise ConfigError(
            f"prompt_template {clipped(text)}: {counted(fields, 'column')} in braces; at most {MOST_FIELDS} can be used"
        )
    return template


def prompt_columns(text: str) -> tuple[str, ...]:
    """Return the columns that a template's text names, each once, in order. Raises ConfigError."""
    return parse_template(text).columns


def default_cut_column(text: str) -> str:
    """Return the column whose end is cut when a prompt is too long: `passage`, or else the last one.

    Only a column that stands once in the template counts, and never the options of multiple choice. Raises ConfigError
    for a template that cannot be parsed or that has no such column.
    """
    template = parse_template(text)
    named = Counter(column for _, column in template.pieces if column is not None)
    once = [column for column, times in named.items() if times == 1 and column != OPTIONS_FIELD]
    if not once:
        alone = "names no column beside the options" if set(named) == {OPTIONS_FIELD} else "repeats every column"
        raise ConfigError(f"prompt_template {clipped(text)}: it {alone}, so none can be cut")
    return "passage" if "passage" in once else once[-1]

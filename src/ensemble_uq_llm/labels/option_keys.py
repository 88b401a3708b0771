"""The keys of a configuration about multiple choice, and what is wrong with them together."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field

from ensemble_uq_llm.labels.option_letters import LETTERS, OPTIONS_FIELD, names_options
from ensemble_uq_llm.utils.key_types import Text
from ensemble_uq_llm.utils.text import clipped, repeated_in

OptionColumns = Annotated[tuple[Text, ...], Field(min_length=1, max_length=len(LETTERS))]


def option_problems(config: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield each combination of these keys of a `Config` that cannot work: the keys, and what is wrong with them."""
    is_shown = names_options(config.prompt_template)
    for key in ("option_columns", "answer_form"):
        if getattr(config, key) is not None and not is_shown:
            yield (
                (key, "prompt_template"),
                f"{key}: is for multiple choice, and prompt_template does not show the options; write "
                f"{{{OPTIONS_FIELD}}} where they are to stand",
            )
    if repeated := repeated_in(config.option_columns or ()):
        yield ("option_columns",), f"option_columns: {clipped(repeated)} given more than once"
    if is_shown and config.class_names is None and config.num_labels > len(LETTERS):
        yield (
            ("num_labels", "prompt_template"),
            f"num_labels: {config.num_labels}, and there are letters for {len(LETTERS)} options at most; lower it",
        )
    if is_shown and config.cut_column == OPTIONS_FIELD:
        yield ("cut_column",), f"cut_column: {OPTIONS_FIELD} are never cut; name another column, or null"

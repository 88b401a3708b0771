"""One labelled (or unlabelled) classification example: the record that every data source yields."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One row of a data set.

    `fields` holds the text columns that the prompt template names (for BoolQ: question, passage).
    `label` is the class index, or None where it is unknown. `options` is how many of the classes, the first ones, the
    row has in multiple choice; None where it has all. `true_probs` is the true probability of
    each class (length C), known only for synthetic worlds.
    """

    id: str
    fields: Mapping[str, str]
    label: int | None = None
    options: int | None = None
    true_probs: tuple[float, ...] | None = None

"""What is compared with what: a method is a maker, or none, on one member or on all, with or without a temperature."""

from dataclasses import dataclass
from typing import Final, Literal

from ensemble_uq_llm.samples.maker_names import MAKERS

Parents = Literal["one", "all"]
CLOSED_FORM: Final = "laplace_closed_form"
"""Last-layer Laplace with its weights integrated out, in place of samples; of one member the mean over members."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """One row of the table."""

    name: str
    title: str
    parents: Parents
    baseline: str
    """The plain method with a temperature that it must beat, of the very same members."""
    maker: str | None = None
    """A maker of samples; None of the baselines, and of the closed form, which makes none."""
    many: bool = False
    """Whether there are as many samples of each member as members, so ten times the passes."""


MEMBER: Final = Method(name="member", title="one member (mean of all)", parents="one", baseline="member_temperature")
MEMBER_TEMPERATURE: Final = Method(
    name="member_temperature", title="one member + temperature (mean of all)", parents="one", baseline="member"
)
FIRST: Final = Method(name="first", title="the first member alone", parents="one", baseline="first_temperature")
FIRST_TEMPERATURE: Final = Method(
    name="first_temperature", title="the first member + temperature", parents="one", baseline="first"
)
ENSEMBLE: Final = Method(name="ensemble", title="**ensemble**", parents="all", baseline="ensemble_temperature")
ENSEMBLE_TEMPERATURE: Final = Method(
    name="ensemble_temperature", title="**ensemble + temperature**", parents="all", baseline="member_temperature"
)


def sampled(*, many: bool = False) -> tuple[Method, ...]:
    """Return every maker that the package has on one member and on the ensemble; with `many` also at more passes."""
    first, whole = FIRST_TEMPERATURE.name, ENSEMBLE_TEMPERATURE.name
    forms: list[tuple[str, Parents, str, str, bool]] = [
        ("one", "one", ", the first member", first, False),
        ("all", "all", " x ensemble", whole, False),
    ]
    if many:
        forms.append(("many", "all", " x ensemble, at more passes", whole, True))
    return tuple(
        Method(
            name=f"{maker}_{form}", title=f"{maker}{words}", parents=parents, baseline=baseline, maker=maker, many=often
        )
        for form, parents, words, baseline, often in forms
        for maker in MAKERS
    )


CLOSED_FORMS: Final = (
    Method(
        name=f"{CLOSED_FORM}_one",
        title="laplace, closed form, one member (mean of all)",
        parents="one",
        baseline=MEMBER_TEMPERATURE.name,
    ),
    Method(
        name=f"{CLOSED_FORM}_all",
        title="laplace, closed form, x ensemble",
        parents="all",
        baseline=ENSEMBLE_TEMPERATURE.name,
    ),
)


def methods() -> tuple[Method, ...]:
    """Return all rows of the table, in its order."""
    made = contenders()
    single, whole = ([each for each in made if each.parents == parents] for parents in ("one", "all"))
    return (MEMBER, MEMBER_TEMPERATURE, FIRST, FIRST_TEMPERATURE, *single, ENSEMBLE, ENSEMBLE_TEMPERATURE, *whole)


def contenders() -> tuple[Method, ...]:
    """Return the methods that are held against the baselines: those that make or integrate something."""
    return (*sampled(many=True), *CLOSED_FORMS)

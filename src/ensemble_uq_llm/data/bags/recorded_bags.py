"""The bags that a run's members were trained on, by their own records and not by what a configuration says now."""

from collections.abc import Sequence

from ensemble_uq_llm.data.bags.bag_design import BagDesign
from ensemble_uq_llm.data.bags.drawn_bags import Bags, draw_bags
from ensemble_uq_llm.errors import ConfigError, IntegrityError
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.run_folder import RunFolder

BOOTSTRAP = "bootstrap"
"""The key of a member's settings that holds the design of its bag."""

LEFT_OUT = "left_out_sha256"
"""The key of a member's record that tells which rows it left out."""


def recorded_bags(folder: RunFolder, members: Sequence[MemberId], *, rows: int, data_digest: str) -> Bags | None:
    """Return the bags by which a run's members were trained, on these training rows; None where each has seen all.

    They are drawn anew, and are those that every member's record tells of.

    Raises:
        IntegrityError: a record is torn, or tells of other rows than are drawn: which a member has seen is not known.
        ConfigError: the members were trained on other data than these.
    """
    found: dict[BagDesign, Bags] = {}
    for member in members:
        path = folder.member_record(member)
        remedy = f"delete {path.parent} and train again to get the member back"
        record = folder.read_object(path, remedy=remedy)
        design = _design(record.get("settings"))
        if design is None:
            return None
        if record.get("data_digest") != data_digest:
            raise ConfigError(
                f"bootstrap: {member.title} was trained on other data than the configuration names now, so nobody can "
                "say which of these rows it has not seen; put the training data back"
            )
        bags = found.setdefault(design, draw_bags(design, rows))
        if member.seed not in design.seeds or bags.digest_of(member.seed) != record.get(LEFT_OUT):
            raise IntegrityError(f"{path}: the rows that it tells were left out are not those of its design; {remedy}")
    return next(iter(found.values()), None)


def _design(settings: object) -> BagDesign | None:
    values = settings.get(BOOTSTRAP) if isinstance(settings, dict) else None
    try:
        return None if values is None else BagDesign.of_json(values)
    except (KeyError, TypeError, ValueError):
        raise IntegrityError(f"bootstrap: a member's record tells no design of bags, but {values!r}") from None

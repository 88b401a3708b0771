"""The bags that a run's members were trained on, by their own records and not by what a configuration says now."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ensemble_uq_llm.data.bags.bag_design import BagDesign
from ensemble_uq_llm.data.bags.drawn_bags import Bags, draw_bags
from ensemble_uq_llm.errors import ConfigError, DataError, IntegrityError
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.run_folder import OUT_OF_BAG, RunFolder

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


def left_out_rows(
    folder: RunFolder, members: Sequence[MemberId], *, wanted: Sequence[bool], data_digest: str
) -> tuple[list[int], dict[int, NDArray[np.bool_]]]:
    """Return the wanted ones of the training rows that some of these members left out, and which of them each did.

    Raises:
        DataError: there is no such row. IntegrityError, ConfigError: as `recorded_bags`.
    """
    if any(member.sample for member in members):
        raise DataError(
            f"{OUT_OF_BAG}: {folder.root} has samples, and a maker may look at any row, so that none of these rows is "
            "new to them; predict other data, or the members that they were made of"
        )
    bags = recorded_bags(folder, members, rows=len(wanted), data_digest=data_digest)
    if bags is None:
        raise DataError(
            f"{OUT_OF_BAG}: every member of {folder.root} was trained on all rows; set bootstrap: balanced and train "
            "in another output_dir, or hold rows out of training (calibration_fraction)"
        )
    left_out = {member.seed: bags.left_out_of(member.seed) for member in members}
    rows_N = np.flatnonzero(np.any([*left_out.values()], axis=0) & np.array(wanted, dtype=np.bool_))
    if not rows_N.size:
        raise DataError(
            f"{OUT_OF_BAG}: no training row that a member left out is apart from what is evaluated; evaluate on other "
            "texts than those of train_file, or train more members"
        )
    return rows_N.tolist(), {seed: left_out_N[rows_N] for seed, left_out_N in left_out.items()}


def _design(settings: object) -> BagDesign | None:
    values = settings.get(BOOTSTRAP) if isinstance(settings, dict) else None
    try:
        return None if values is None else BagDesign.of_json(values)
    except (KeyError, TypeError, ValueError):
        raise IntegrityError(f"bootstrap: a member's record tells no design of bags, but {values!r}") from None

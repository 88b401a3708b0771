"""What a run folder says that a run is: trained or sampled, by how many members, and in what time."""

from collections.abc import Iterator
from typing import Any

from ensemble_uq_llm.evaluation.protocol.known_of_predictions import typed
from ensemble_uq_llm.evaluation.protocol.protocol_in_words import TRAINING
from ensemble_uq_llm.evaluation.records import Protocol, RunFacts
from ensemble_uq_llm.predictions.record import Predictions
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.samples.posterior_record import FEWEST_MODES, posterior_of
from ensemble_uq_llm.utils.text import counted

ALONE = "none"
"""The maker of a base that is asked by itself."""


def facts_of_run(name: str, folder: RunFolder, predictions: Predictions, protocol: Protocol) -> RunFacts:
    """Return what a run is, as far as its record is about the members that predicted.

    Raises:
        IntegrityError: its record is torn, or was altered.
    """
    record, passes, own = folder.record(), len(predictions.members), protocol.adapters == "trained"
    posterior = posterior_of(record) if own else None
    trained = [stage for stage in record["stages"] if own and stage.get("stage") == "train"]
    made_by = posterior.maker if posterior is not None else TRAINING if own else None
    modes = len(posterior.parents) if posterior is not None else passes if own else None
    is_alone = protocol.adapters == "none"
    return RunFacts(
        name=name,
        path=str(folder.root),
        maker=ALONE if is_alone else made_by,
        trained_members=0 if is_alone else modes,
        samples=None if posterior is None else posterior.samples,
        passes=passes,
        training_seconds=_seconds(trained),
        making_seconds=None if posterior is None else posterior.seconds,
    )


def cautions_of_run(folder: RunFolder, facts: RunFacts) -> Iterator[str]:
    """Yield in words why a run's mutual information is worth less than it seems.

    Raises:
        IntegrityError: its record is torn, or was altered.
    """
    posterior = posterior_of(folder.record())
    if posterior is not None and facts.samples is not None:
        yield from posterior.cautions()
    elif facts.passes > 1:
        yield from cautions_of_few(facts.passes)


def cautions_of_few(members: int) -> Iterator[str]:
    """Yield in words what few members, of whatever origin, mean for mutual information."""
    if 1 < members < FEWEST_MODES:
        yield (
            f"mutual information over {counted(members, 'member')} tells other data worse than the entropy of the mean "
            f"does; compare it from {FEWEST_MODES} members on"
        )


def _seconds(stages: list[dict[str, Any]]) -> float | None:
    """Return what these stages took together; None where not all say so."""
    found = [typed(stage.get("seconds"), float) for stage in stages]
    known = [seconds for seconds in found if seconds is not None]
    return sum(known) if known and len(known) == len(found) else None

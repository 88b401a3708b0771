"""What a run of samples is, in sentences: the maker, the samples, what they cost, and what to beware of."""

from collections.abc import Mapping
from typing import Any

from ensemble_uq_llm.samples.posterior_record import posterior_of
from ensemble_uq_llm.utils.text import counted


def posterior_in_words(record: Mapping[str, Any]) -> list[str]:
    """Return sentences about the samples of a run, from its record; none where its members were trained.

    Raises:
        IntegrityError: the record says it in another form.
    """
    posterior = posterior_of(record)
    if posterior is None:
        return []
    made = (
        f"Its members are samples: {counted(posterior.samples, 'sample')} by {posterior.maker} of each of "
        f"{counted(len(posterior.parents), 'trained member')}. Making them took {posterior.seconds:,.1f} s, and an "
        f"answer takes {counted(posterior.passes, 'pass', 'passes')} through the model."
    )
    return [made, *(f"Beware: {caution}." for caution in posterior.cautions())]

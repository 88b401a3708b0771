"""What a training is made with, as far as going on with it depends on that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.job import Job
from ensemble_uq_llm.training.outcomes import member_settings
from ensemble_uq_llm.training.state import BUDGET
from ensemble_uq_llm.utils.device import describe_device
from ensemble_uq_llm.utils.lanes import lane_count


@dataclass(frozen=True, kw_only=True)
class MadeWith:
    """What a checkpoint was made with.

    Whatever `must_agree` holds is the same where its training goes on; where `environment` differs, results differ by
    rounding from those of an undisturbed training, which a warning says.
    """

    must_agree: Mapping[str, Any]
    environment: Mapping[str, Any]


def making_of(seeds: Sequence[int], config: Config, *, job: Job, base_digest: str, device: torch.device) -> MadeWith:
    """Return what the members of these seeds are made with."""
    made_from = {
        "base": base_digest,
        "training data": job.train.digest,
        "validation data": job.validation.digest,
        **({} if job.stopping is None else {"stopping data": job.stopping.digest}),
    }
    return MadeWith(
        must_agree={"seeds": list(seeds), **member_settings(config), **made_from},
        environment={
            "torch": torch.__version__,
            "device": describe_device(device),
            "lanes": lane_count(device),
            BUDGET: config.tokens_per_pass,
        },
    )

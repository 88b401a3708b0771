"""Members over devices: each device trains its share in a process of its own.

A member is its seed, so nothing depends on how the members are spread.
"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.training.events import Listener
from ensemble_uq_llm.training.group import Source, train_group
from ensemble_uq_llm.training.outcome import MemberOutcome


def train_on_devices(
    config: Config,
    seeds: Sequence[int],
    *,
    source: Source,
    devices: Sequence[torch.device],
    listeners: Sequence[Listener] = (),
) -> list[MemberOutcome]:
    """Train the members, spread evenly over the devices; the outcomes are in no particular order.

    With one device all happens in this process. With more, the listeners hear nothing: `events.jsonl` has it all.

    Raises:
        What `train_group` raises; a share that is finished by then is saved.
    """
    shares = spread(seeds, len(devices))
    if len(shares) == 1:
        return train_group(config, shares[0], source=source, device=devices[0], listeners=listeners)
    with ProcessPoolExecutor(len(shares), mp_context=get_context("spawn")) as pool:
        running = [
            pool.submit(train_group, config, share, source=source, device=device)
            for share, device in zip(shares, devices, strict=False)
        ]
        return [outcome for each in running for outcome in each.result()]


def spread(seeds: Sequence[int], parts: int) -> list[list[int]]:
    """Return the seeds in at most so many shares whose sizes differ by one at most; no share is empty."""
    return [list(seeds[part::parts]) for part in range(min(parts, len(seeds)))]

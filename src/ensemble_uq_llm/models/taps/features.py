"""What every member's head reads: the last hidden state of every sequence, in one pass over the examples."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.memory import PassBudget, within_memory
from ensemble_uq_llm.models.pack import Tokens, make_pack
from ensemble_uq_llm.models.passes import Rows, prediction_passes
from ensemble_uq_llm.utils.lanes import side_by_side


def member_features(ensemble: StackedEnsemble, sequences: Sequence[Tokens], *, budget: int) -> NDArray[np.float32]:
    """Return the last hidden states of all sequences in every member: float32 features_MNH.

    Passes are those of `logits.member_logits`, so a head applied to them gives the logits of prediction.

    Raises:
        TooLittleMemoryError: not even a pass of one sequence fits the memory.
    """
    longest = max(map(len, sequences), default=0)
    return within_memory(
        lambda tokens: _in_passes(ensemble, sequences, budget=tokens), PassBudget(budget), longest=longest
    )


def _in_passes(ensemble: StackedEnsemble, sequences: Sequence[Tokens], *, budget: int) -> NDArray[np.float32]:
    members = len(ensemble.members)
    hidden = ensemble.decoder.config.get_text_config().hidden_size
    device = next(ensemble.parameters()).device
    features_MNH = torch.empty(members, len(sequences), hidden)

    @torch.inference_mode()
    def one_pass(members_and_rows: tuple[range, Rows]) -> None:
        group, rows = members_and_rows
        own = [sequences[row] for row in rows]
        pack = make_pack([(member, own) for member in group], device=device)
        trunk_TH = None
        if ensemble.trunk_depth > 0:
            trunk_TH = ensemble.trunk(make_pack([(group.start, own)], device=device)).repeat(len(group), 1)
        hidden_BH = ensemble.hidden(pack, trunk_TH=trunk_TH).float().cpu()
        features_MNH[group.start : group.stop, torch.from_numpy(rows)] = hidden_BH.unflatten(0, (len(group), len(rows)))

    lengths_N = np.array([len(tokens) for tokens in sequences], dtype=np.int64)
    side_by_side(one_pass, list(prediction_passes(members, lengths_N, budget=budget)), device=device)
    return features_MNH.numpy()

"""A sample's folder, as `peft` loads it by itself, has the logits that the engine gives it."""

from pathlib import Path

import numpy as np
import peft
import pytest
import torch

from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.models.base import load_decoder
from ensemble_uq_llm.models.heads.classification import CLASSIFICATION
from ensemble_uq_llm.models.logits import member_logits
from ensemble_uq_llm.models.lora.peft_folder import ensemble_of, read_adapter
from tiny_models import assert_close, random_sequences, sequence_classifier

SEQUENCES = random_sequences(8, seed=4, highest=20)
EQUAL = 2e-6
"""Logits are equal up to this fraction of the largest; weights that differ must show a hundred times as much."""
WORDS = {
    "laplace": [],
    "ivon": ["--with", "epochs=2", "--with", "tolerance=10"],
    "swag": ["--with", "epochs=2", "--with", "tolerance=10"],
}


@torch.no_grad()
def alone(model: torch.nn.Module) -> torch.Tensor:
    """Return the logits [B, C], one sequence at a time: this base has no padding token."""
    return torch.cat([model(input_ids=torch.from_numpy(each.astype(np.int64))[None]).logits for each in SEQUENCES])


@pytest.mark.filterwarnings("default:.*mutual information over samples", "default:.*which holds such a part out")
@pytest.mark.parametrize("maker", WORDS)
def test_equal_logits(maker, own_run: Path, tiny_base: Path, tmp_path: Path, call):
    out = tmp_path / "samples"
    code, _, said = call("posterior", own_run, "--maker", maker, "--samples", 5, "--output", out, *WORDS[maker])
    assert code == 0, said
    folders = [own_run / "seed_42", *(out / f"seed_42_sample_{number}" for number in (1, 5))]
    members = [MemberId(42, number) for number in range(len(folders))]
    adapters = [read_adapter(folder, head_kind=CLASSIFICATION) for folder in folders]
    decoder = load_decoder(tiny_base, device=torch.device("cpu"), bf16=False)
    logits_MNC = member_logits(ensemble_of(decoder, adapters, members=members), SEQUENCES, budget=500)
    for folder, logits_NC in zip(folders, logits_MNC, strict=True):
        model = peft.PeftModel.from_pretrained(sequence_classifier(tiny_base, classes=2), folder).eval()
        assert_close(torch.from_numpy(logits_NC), alone(model), relative=EQUAL)
    resolved = 100 * EQUAL * abs(logits_MNC).max()
    assert abs(logits_MNC[1] - logits_MNC[0]).max() > resolved, "a sample is another than its parent"
    assert abs(logits_MNC[1] - logits_MNC[2]).max() > resolved, "and than its sisters"

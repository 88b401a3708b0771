import json
import math
from pathlib import Path

import torch

from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.models.lora.peft_folder import read_adapter
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.training.member_record import Digests
from ensemble_uq_llm.training.outcome import MemberOutcome
from ensemble_uq_llm.training.save import save_members
from ensemble_uq_llm.utils.files import sha256_of
from small_training import SEEDS, config, stack


def save(tiny_base: Path, root: Path, outcomes: list[MemberOutcome], *, spoil: int | None = None):
    settings = config(model_name=str(tiny_base), output_dir=root)
    ensemble = stack(tiny_base, settings, SEEDS)
    if spoil is not None:
        with torch.no_grad():
            ensemble.head.weight_MCH[spoil, 0, 0] = math.inf
    save_members(ensemble, outcomes, RunFolder(root), config=settings, digests=Digests(data="d", base="b"))
    return ensemble, RunFolder(root)


def test_members_are_written_whole_with_their_record(tiny_base: Path, tmp_path: Path) -> None:
    outcomes = [MemberOutcome(seed=seed, loss=0.5, steps=9) for seed in SEEDS]
    ensemble, folder = save(tiny_base, tmp_path, outcomes)
    assert folder.members() == [MemberId(seed) for seed in sorted(SEEDS)]
    assert not list(tmp_path.glob(".*")), "no temporary folder is left"
    for member, seed in enumerate(SEEDS):
        record = json.loads(folder.member_record(MemberId(seed)).read_text())
        assert record["seed"] == seed
        assert record["weights_sha256"] == sha256_of(folder.member(MemberId(seed)) / "adapter_model.safetensors")
        assert torch.equal(
            read_adapter(folder.member(MemberId(seed))).head["score.weight"], ensemble.head.weight_MCH[member]
        )


def test_diverged_members_and_wild_weights_are_not_written(tiny_base: Path, tmp_path: Path) -> None:
    outcomes = [MemberOutcome(seed=seed, loss=0.5, steps=9) for seed in SEEDS]
    outcomes[0].diverged_at = 4
    _, folder = save(tiny_base, tmp_path, outcomes, spoil=2)
    assert folder.members() == [MemberId(seed) for seed in [SEEDS[1]]]
    assert [outcome.diverged_at for outcome in outcomes] == [4, None, 9]

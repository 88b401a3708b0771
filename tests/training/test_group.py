from pathlib import Path

import pytest
import torch
from ensemble_uq_llm.training.group import Source, train_group
from ensemble_uq_llm.training.member_record import Digests, read_member_record

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.prepare import load_training
from ensemble_uq_llm.errors import DataError
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.training.events import Ended, Started
from small_runs import settings

CPU = torch.device("cpu")


def source_of(config: Config, base: Path) -> Source:
    return Source(base=base, examples=load_training(config).kept, digests=Digests(data="d", base="b"))


def test_a_group_trains_and_saves_just_its_seeds_in_their_order(
    tiny_base: Path, tiny_data: Path, tmp_path: Path
) -> None:
    config = settings(tiny_base, tiny_data, tmp_path / "run")
    events: list[object] = []
    outcomes = train_group(config, [3, 1], source=source_of(config, tiny_base), device=CPU, listeners=[events.append])
    assert [outcome.seed for outcome in outcomes] == [3, 1]
    folder = RunFolder(config.output_dir)
    assert folder.members() == [MemberId(seed) for seed in [1, 3]]
    assert read_member_record(folder, MemberId(3)).data_digest == "d"
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Ended)
    assert events[0].seeds == (3, 1)


def test_bad_validation_data_leave_nothing_behind(tiny_base: Path, tiny_data: Path, tmp_path: Path) -> None:
    config = settings(tiny_base, tiny_data, tmp_path / "run", validation_file=tmp_path / "absent.jsonl")
    with pytest.raises(DataError, match=r"absent\.jsonl: not found"):
        train_group(config, [1], source=source_of(config, tiny_base), device=CPU)
    assert not config.output_dir.exists()

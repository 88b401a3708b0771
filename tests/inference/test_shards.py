import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ensemble_uq_llm.inference.predict as module
from ensemble_uq_llm.data.job import PreparedSet
from ensemble_uq_llm.data.prepare import load_validation
from ensemble_uq_llm.inference import shards
from ensemble_uq_llm.inference.members import LoadedEnsemble, load_members
from ensemble_uq_llm.inference.predict import predict_examples
from ensemble_uq_llm.inference.shards import Cut, KeptShards
from ensemble_uq_llm.storage import stop
from ensemble_uq_llm.training.loop import train
from small_runs import settings


@given(st.lists(st.integers(1, 90), max_size=60), st.integers(1, 5), st.integers(1, 400))
def test_shards_hold_every_row_once_and_no_more_tokens_than_asked(lengths: list[int], members: int, shard: int) -> None:
    slices = list(Cut(budget=64, shard=shard).rows(lengths, members))
    assert [row for each in slices for row in range(each.start, each.stop)] == list(range(len(lengths)))
    for each in slices:
        assert each.stop - each.start == 1 or members * sum(lengths[each]) <= shard


@pytest.fixture
def loaded(tiny_base: Path, tiny_data: Path, tmp_path: Path) -> tuple[LoadedEnsemble, PreparedSet]:
    config = settings(tiny_base, tiny_data, tmp_path / "run", num_ensemble_models=2)
    train(config)
    return load_members(config), PreparedSet(load_validation(config), config)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Shards of a few rows, of which each is kept; the rows that were computed."""
    monkeypatch.setattr(module, "PASSES", 1 / 32)
    monkeypatch.setattr(shards, "_SECONDS", 0.0)
    computed: list[int] = []
    real = module.member_logits

    def counting(ensemble: object, sequences: list[object], **how: object) -> object:
        computed.append(len(sequences))
        return real(ensemble, sequences, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "member_logits", counting)
    return computed


def stopped_after(shard: int, loaded: LoadedEnsemble, prepared: PreparedSet, kept: KeptShards, done: list[int]) -> None:
    def tell(_done: int, _of: int) -> None:
        if len(done) > shard:
            stop.request("SIGTERM")

    with stop.listening(), pytest.raises(stop.StopRequested, match="SIGTERM"):
        predict_examples(loaded, prepared, tell=tell, kept=kept)


def test_an_interrupted_prediction_goes_on_to_the_same_bytes(
    loaded: tuple[LoadedEnsemble, PreparedSet], small: list[int], tmp_path: Path
) -> None:
    whole = predict_examples(*loaded).logits_MNC
    assert len(small) > 4
    rows = sum(small)
    small.clear()
    folder = tmp_path / "kept" / "predictions" / "x"
    stopped_after(2, *loaded, KeptShards(folder=folder, made={"of": 1}), small)
    assert len(list(folder.iterdir())) == 3, "the shard that was under way is lost, and no other"
    begun = sum(small[:3])
    small.clear()
    kept = KeptShards(folder=folder, made={"of": 1})
    again = predict_examples(*loaded, kept=kept).logits_MNC
    assert sum(small) == rows - begun, "what is kept is not computed again"
    assert again.tobytes() == whole.tobytes()
    kept.clear()
    assert not (tmp_path / "kept").exists()


def test_parts_that_are_not_sound_are_passed_over(
    loaded: tuple[LoadedEnsemble, PreparedSet], small: list[int], tmp_path: Path
) -> None:
    folder = tmp_path / "kept" / "predictions" / "x"
    stopped_after(3, *loaded, KeptShards(folder=folder, made={}), small)
    second = sorted(folder.iterdir())[1] / "logits.safetensors"
    content = bytearray(second.read_bytes())
    content[-1] ^= 1
    second.write_bytes(content)
    small.clear()
    whole = predict_examples(*loaded).logits_MNC
    with pytest.warns(UserWarning, match="this part of the prediction is passed over: .*altered after it was written"):
        again = predict_examples(*loaded, kept=KeptShards(folder=folder, made={})).logits_MNC
    np.testing.assert_array_equal(again, whole)


def test_what_is_kept_of_another_prediction_is_not_used(
    loaded: tuple[LoadedEnsemble, PreparedSet], small: list[int], tmp_path: Path
) -> None:
    folder = tmp_path / "kept" / "predictions" / "x"
    stopped_after(1, *loaded, KeptShards(folder=folder, made={"weights": "old"}), small)
    assert list(folder.iterdir())
    assert json.loads((sorted(folder.iterdir())[0] / "shards.json").read_text())["made"] == {"weights": "old"}
    assert KeptShards(folder=folder, made={"weights": "new"}).read() == (None, [])
    assert not folder.exists()

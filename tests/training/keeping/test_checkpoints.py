import time
import warnings

import pytest

from ensemble_uq_llm.errors import ConfigError, StorageError
from ensemble_uq_llm.storage import stop
from ensemble_uq_llm.training.events import EpochEnded, Keeping, MemberDiverged, Stepped
from ensemble_uq_llm.training.keeping.checkpoints import Checkpoints, CheckpointWriter, clear_all
from ensemble_uq_llm.training.keeping.made_with import MadeWith
from ensemble_uq_llm.training.state import BUDGET
from small_training import SEEDS, config, fresh_state, stack

SETTINGS = config()
MADE = MadeWith(must_agree={"lora_r": 4, "seeds": [1, 2]}, environment={"torch": "2", BUDGET: None})
STEP = Stepped(step=1, epoch=1, learning_rate=0.1, losses={}, tokens_per_second=1.0)
EPOCH = EpochEnded(epoch=1, validation_loss={}, validation_accuracy={})


@pytest.fixture
def state(tiny_base):
    return fresh_state(stack(tiny_base, SETTINGS, SEEDS), SETTINGS)


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(folder=tmp_path / "checkpoints" / "from_seed_1", making=MADE)


def keep(checkpoints, state, *positions):
    for state.steps, state.epoch in positions:
        checkpoints.save(state)


def names(checkpoints):
    return [path.name for path in checkpoints._paths()]


def spoil(path):
    content = bytearray((path / "state.safetensors").read_bytes())
    content[-1] ^= 1
    (path / "state.safetensors").write_bytes(content)


def test_the_two_newest_are_kept_and_an_epoch_that_is_over_is_newer_than_its_last_step(checkpoints, state):
    keep(checkpoints, state, (2, 0), (4, 0), (4, 1))
    assert names(checkpoints) == ["step_00000004_epoch_0000", "step_00000004_epoch_0001"]
    assert checkpoints.newest().values["epoch"] == 1


def test_one_that_is_not_sound_is_passed_over_and_said_so(checkpoints, state):
    keep(checkpoints, state, (2, 0), (4, 0))
    older, newer = checkpoints._paths()
    spoil(newer)
    with pytest.warns(UserWarning, match=rf"{newer}.*altered.*passed over, and training goes on from an earlier one$"):
        checkpoints.check()
    assert checkpoints.newest().values["steps"] == 2
    keep(checkpoints, state, (4, 0))  # it is written anew
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checkpoints.check()
    spoil(newer)
    spoil(older)
    with pytest.warns(UserWarning, match="there is no other: training begins anew"):
        checkpoints.check()
    assert checkpoints.newest() is None


def test_another_making_is_refused_and_another_environment_is_told(checkpoints, state):
    keep(checkpoints, state, (2, 0))
    checkpoints.making = MadeWith(must_agree={"lora_r": 8, "seeds": [1, 2]}, environment=MADE.environment)
    with pytest.raises(ConfigError, match=r"begun differently:\n  lora_r: 4 there, 8 now\nPut these back"):
        checkpoints.check()
    checkpoints.making = MadeWith(must_agree=MADE.must_agree, environment={**MADE.environment, "torch": "3"})
    with pytest.warns(UserWarning, match=r"another environment \(torch was '2' and is '3'\).*by rounding"):
        checkpoints.check()


def test_passes_of_another_size_are_what_is_wanted_now(checkpoints, state):
    keep(checkpoints, state, (2, 0))
    assert BUDGET in checkpoints.newest().values
    checkpoints.making = MadeWith(must_agree=MADE.must_agree, environment={**MADE.environment, BUDGET: 64})
    snapshot = checkpoints.newest()
    assert BUDGET not in snapshot.values
    state.budget.tokens = 64
    state.restore(snapshot)
    assert (state.budget.tokens, state.steps) == (64, 2)


def test_they_go_with_what_writers_that_died_have_left_and_nothing_else(checkpoints, state, tmp_path):
    keep(checkpoints, state, (2, 0))
    (checkpoints.folder / f".tmp-{'0' * 32}").mkdir()
    checkpoints.sweep()
    assert sorted(path.name for path in checkpoints.folder.iterdir()) == names(checkpoints)
    clear_all(tmp_path / "checkpoints")
    assert not (tmp_path / "checkpoints").exists()
    keep(checkpoints, state, (2, 0))
    (checkpoints._paths()[0] / "notes").touch()
    with pytest.warns(UserWarning, match=r"notes: not of this program, so it is left alone"):
        clear_all(tmp_path / "checkpoints")
    assert (checkpoints._paths()[0] / "notes").exists()


def writer(checkpoints, state, **how):
    return CheckpointWriter(
        state=state, checkpoints=checkpoints, **{"every_steps": None, "every_seconds": 300.0, **how}
    )


def test_so_many_steps_are_obeyed(checkpoints, state):
    write = writer(checkpoints, state, every_steps=3)
    for state.steps in range(1, 8):
        write(STEP)
    assert names(checkpoints) == ["step_00000003_epoch_0000", "step_00000006_epoch_0000"]


def test_time_is_spent_only_where_it_is_a_fiftieth_at_most(checkpoints, state, monkeypatch):
    write = writer(checkpoints, state, every_seconds=5.0)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    write._last, write._cost, state.steps = now, 0.05, 1
    for since, event, is_kept in ((2.4, EPOCH, False), (4.0, STEP, False), (2.6, EPOCH, True)):
        now = write._last + since
        state.steps += 1
        write(event)
        assert (len(names(checkpoints)) == 1) is is_kept
    write._cost, state.steps = 1.0, 9  # a large state: what was asked for every 5 seconds comes every 50
    now = write._last + 49
    write(STEP)
    assert len(names(checkpoints)) == 1
    now = write._last + 51
    write(STEP)
    assert len(names(checkpoints)) == 2


def test_a_full_disk_costs_a_checkpoint_and_not_the_training(checkpoints, state, monkeypatch):
    write = writer(checkpoints, state, every_steps=1)

    def refuse(*_):
        raise StorageError("x: cannot be written (No space left on device)")

    state.steps = 1
    monkeypatch.setattr(Checkpoints, "save", refuse)
    with pytest.warns(UserWarning, match="No space left on device.*training goes on without this checkpoint"):
        write(STEP)


def test_a_stop_is_heard_where_everything_is_told_and_listeners_hear_before_it_is_kept(checkpoints, state):
    heard = []
    write = writer(checkpoints, state, listeners=[heard.append])
    state.steps = 4
    with stop.listening():
        stop._STATE.signal_name = "SIGTERM"
        write(MemberDiverged(seed=1, step=4))  # its step is told after it
        with pytest.raises(stop.StopRequested, match="SIGTERM"):
            write(STEP)
    assert heard == []
    write.keep()
    assert heard == [Keeping(step=4)]

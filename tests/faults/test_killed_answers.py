"""Answering that is killed at any moment, several times over: every row is written exactly once, as if undisturbed."""

import json
import random
import shutil
import signal
import time
from itertools import chain, islice
from pathlib import Path

import pytest

import warm_commands
from ensemble_uq_llm.data.reading import row_stream
from ensemble_uq_llm.inference import shards
from ensemble_uq_llm.inference.kept_answers import KeptAnswers

ROWS = 300
SHARD = 20


def in_small_shards() -> None:
    """Let a shard have few rows, and keep every part of one."""
    row_stream.ROWS = SHARD
    shards.PASSES, shards._SECONDS = 1, 0.0


def and_forget_what_was_written() -> None:
    """Plant a fault: whoever goes on writes the first part again behind the others."""
    in_small_shards()
    honest = KeptAnswers.parts
    KeptAnswers.parts = lambda kept: chain(honest(kept), islice(honest(kept), 1))  # type: ignore[method-assign]


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    numbers = random.Random(5)
    rows = (
        {"id": f"q {n}", "question": f"is {n} odd", "passage": "It is." * numbers.choice((1, 5, 20))}
        for n in range(ROWS)
    )
    path = tmp_path / "new.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def parts_of(run: Path) -> int:
    return len(list(run.glob("checkpoints/answers/new/rows_*")))


def words(run: Path, questions: Path, leave: str) -> list[str]:
    return ["answer", str(run), "--data", str(questions), "--exit", leave]


def test_every_row_is_written_once_however_often_it_is_killed(own_run, questions, tmp_path, rounds, tally):
    moments, kills, wanted = random.Random(1), 0, rounds(6, 150)
    logs, runs, resumed = tmp_path / "logs", 0, 0
    for leave in ("none", "exact"):
        whole = shutil.copytree(own_run, tmp_path / f"whole_{leave}")
        command = warm_commands.start(words(whole, questions, leave), logs=logs, before=in_small_shards)
        assert command.wait() == 0, command.err.read_text()
        expected = (whole / "answers" / "new.csv").read_bytes()
        assert expected.count(b"\n") == ROWS + 1
        goal = kills + wanted // 2
        while kills < goal:
            run = shutil.copytree(own_run, tmp_path / f"run_{runs}")
            for _ in range(moments.choice((1, 2, 3))):
                killed = warm_commands.start(words(run, questions, leave), logs=logs, before=in_small_shards)
                at = moments.randrange(ROWS // SHARD)
                killed.when(lambda run=run, at=at: parts_of(run) >= at)
                time.sleep(moments.uniform(0, 0.03))
                kills += killed.process.is_alive()
                killed.process.kill()
                killed.process.join()
            resumed += parts_of(run) > 0
            last = warm_commands.start(words(run, questions, leave), logs=logs, before=in_small_shards)
            assert last.wait() == 0, last.err.read_text()
            assert (run / "answers" / "new.csv").read_bytes() == expected
            assert not (run / "checkpoints").exists()
            assert not [path for path in run.rglob(".*") if path.name.endswith(".tmp")]
            shutil.rmtree(run)
            runs += 1
    tally(f"{kills} of {kills} kills in {runs} runs: the same answers to the byte, {resumed} runs had kept some")
    assert resumed, "some were killed when a part was kept"


def test_a_row_that_is_written_twice_is_seen(own_run, questions, tmp_path):
    run = shutil.copytree(own_run, tmp_path / "run")
    command = warm_commands.start(words(run, questions, "none"), logs=tmp_path / "logs", before=in_small_shards)
    assert command.when(lambda: parts_of(run) > 2)
    command.process.kill()
    command.process.join()
    again = warm_commands.start(
        words(run, questions, "none"), logs=tmp_path / "logs", before=and_forget_what_was_written
    )
    assert again.wait() == 0, again.err.read_text()
    lines = (run / "answers" / "new.csv").read_bytes().splitlines()
    assert len(lines) == 1 + ROWS + SHARD
    assert len(set(lines)) == 1 + ROWS


def and_ask_to_stop_in_the_third_shard() -> None:
    """Have a signal come while the third shard is predicted."""
    in_small_shards()
    warm_commands.SignalAt(number=signal.SIGTERM, place="inference.answer_stream:predict_examples", call=3)()


def test_a_request_to_stop_is_told_what_is_kept(own_run, questions, tmp_path):
    command = warm_commands.start(
        words(own_run, questions, "none"), logs=tmp_path / "logs", before=and_ask_to_stop_in_the_third_shard
    )
    assert command.wait() == 75
    assert f"stopped by SIGTERM; kept in {own_run}: answers to new; continue with: ensemble-uq answer" in (
        command.err.read_text()
    )
    again = warm_commands.start(words(own_run, questions, "none"), logs=tmp_path / "logs", before=in_small_shards)
    assert again.wait() == 0
    assert "40 rows had been answered before." in again.out.read_text()

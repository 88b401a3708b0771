"""Spoilt and odd files of rows: a named error, or what the file says; never a traceback, a hang or another result."""

import math
import os
import random
import signal
import time
from collections import Counter

import numpy as np
import pytest
from table_mutants import LABELS, PROBS, data_files, prediction_files, spoilt, written_text
from warm_children import judged

from ensemble_uq_llm.cli import main
from ensemble_uq_llm.data.reading.columns import Columns
from ensemble_uq_llm.data.reading.data_files import read_examples
from ensemble_uq_llm.errors import ConfigError, MembersFailedError
from ensemble_uq_llm.predictions.foreign_tables import load_predictions

COLUMNS = Columns(prompt=("question",))
AS_WRITTEN = [list(LABELS), list(PROBS)]


def said(path):
    """Return the labels and the probabilities of class 1 that a file is read as."""
    predictions = load_predictions(path)
    logits_NC = predictions.logits_MNC[0]
    probs_NC = np.exp(logits_NC - np.logaddexp.reduce(logits_NC, axis=1, keepdims=True))
    return [list(predictions.labels), probs_NC[:, 1].tolist()]


def reader_of(folder, ending, read):
    def answer(content):
        path = folder / f"case{ending}"
        path.write_bytes(content)
        return read(path)

    return answer


def same(found, wanted):
    return found[0] == list(wanted[0]) and all(map(lambda a, b: math.isclose(a, b, rel_tol=1e-12), found[1], wanted[1]))


def faults_of(verdicts):
    return [(verdict.case, verdict.fault) for verdict in verdicts if verdict.fault]


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet", ".npz"])
def test_spoilt_predictions(tmp_path, rounds, tally, ending):
    number, rng, sound = rounds(500, 20_000), random.Random(ending), prediction_files()[ending]
    cases = [spoilt(sound, rng) for _ in range(number)]
    verdicts = judged(cases, reader_of(tmp_path, ending, said))

    assert faults_of(verdicts) == []
    refused = sum(verdict.refused for verdict in verdicts)
    assert 0 < refused < number
    if ending == ".npz":  # whose every byte has a check sum
        assert all(verdict.refused or same(verdict.answer, AS_WRITTEN) for verdict in verdicts)
    tally(f"{number:,} of {number:,} spoilt {ending} answered, {refused:,} refused")


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_spoilt_data(tmp_path, rounds, tally, ending):
    number, rng, sound = rounds(500, 20_000), random.Random(ending), data_files()[ending]
    cases = [spoilt(sound, rng) for _ in range(number)]
    verdicts = judged(cases, reader_of(tmp_path, ending, lambda path: len(read_examples(path, COLUMNS))))

    assert faults_of(verdicts) == []
    refused = sum(verdict.refused for verdict in verdicts)
    assert 0 < refused < number
    tally(f"{number:,} of {number:,} spoilt {ending} of data answered, {refused:,} refused")


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl"])
def test_odd_cells_mean_what_they_say_or_nothing(tmp_path, rounds, tally, ending):
    number, rng = rounds(500, 20_000), random.Random(ending)
    cases = [written_text(ending, rng) for _ in range(number)]
    verdicts = judged([content for content, _ in cases], reader_of(tmp_path, ending, said))

    assert faults_of(verdicts) == []
    wrong = [
        (content, verdict.answer)
        for (content, wanted), verdict in zip(cases, verdicts, strict=True)
        if verdict.refused != (wanted is None) or (wanted is not None and not same(verdict.answer, wanted))
    ]
    assert wrong == []
    tally(f"{number:,} of {number:,} {ending} with odd cells read as they say")


@pytest.mark.parametrize(
    "command", [["evaluate", "{file}", "--draws", "100"], ["compare", "{sound}", "{file}", "--draws", "100"]]
)
def test_commands_answer_as_the_readers_do(tmp_path, rounds, tally, command):
    number, rng, sound = rounds(10, 500), random.Random(command[0]), prediction_files()
    endings = list(sound) * number
    (tmp_path / "sound.csv").write_bytes(sound[".csv"])

    def answer(case):
        ending, content = case
        path = tmp_path / f"case{ending}"
        path.write_bytes(content)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        try:
            main([word.format(file=path, sound=tmp_path / "sound.csv") for word in command])
        except SystemExit as exit_:
            return exit_.code
        return 0

    verdicts = judged([(ending, spoilt(sound[ending], rng)) for ending in endings], answer)
    assert faults_of(verdicts) == []
    codes = Counter(verdict.answer for verdict in verdicts)
    assert set(codes) == {0, 3}  # of the file: 2 would be a wrong command line, which reads none
    tally(f"{len(verdicts):,} of {len(verdicts):,} spoilt files answered by {command[0]}: {dict(codes)}")


def test_the_judge_finds_planted_faults():
    def crash(_):
        os.kill(os.getpid(), signal.SIGKILL)

    def slow(_):
        began = time.process_time()
        while time.process_time() - began < 0.2:
            pass

    def large(_):
        bytearray(600 * 2**20)

    def broken(_):
        raise KeyError("id")

    def wrong_code(_):
        raise MembersFailedError("no error of a file")

    def refused(_):
        raise ConfigError("refused")

    planted = [crash, slow, large, broken, wrong_code, refused, len]
    verdicts = judged(planted, lambda plant: plant("ab"), seconds=0.1)
    found = [verdict.fault for verdict in verdicts]
    assert "the process ended with -9" in found[0]
    assert "took 0.2 s" in found[1]
    assert "KeyError: 'id'" in found[3]
    assert "exit code 4" in found[4]
    assert found[5:] == [None, None]
    assert (verdicts[5].refused, verdicts[6].answer) == (True, 2)
    assert "MB" in judged([large], lambda plant: plant("ab"), seconds=60)[0].fault


def test_another_result_is_noticed():
    assert same(AS_WRITTEN, (LABELS, PROBS))
    assert not same([[0, 0, None, 1, 0], list(PROBS)], (LABELS, PROBS))
    assert not same([list(LABELS), [0.25, 0.5, 0.125, 0.75, 0.999]], (LABELS, PROBS))

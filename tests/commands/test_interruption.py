import shutil

import pytest

from ensemble_uq_llm.commands.interruption import telling_what_is_kept
from ensemble_uq_llm.errors import InterruptedRunError
from ensemble_uq_llm.run_folder import RunFolder


def interrupted(folder, work):
    def stopped():
        with telling_what_is_kept(RunFolder(folder)):
            work()
            raise KeyboardInterrupt

    with pytest.raises(InterruptedRunError, match="interrupted; ") as caught:
        stopped()
    return str(caught.value)


def test_nothing_is_kept_of_what_was_not_finished(tmp_path):
    told = interrupted(tmp_path / "run", lambda: None)
    assert told == "interrupted; nothing was finished, so nothing is kept; run the same command again"


def test_what_was_there_before_is_not_claimed(own_run):
    told = interrupted(own_run, lambda: None)
    assert told == (
        "interrupted; nothing was finished, so nothing is kept; what was there before is unchanged; "
        "run the same command again"
    )


def test_what_was_written_by_then_is_named(own_run):
    def work():
        shutil.copytree(own_run / "seed_42", own_run / "seed_44")
        shutil.copy(own_run / "predictions" / "validation.parquet", own_run / "predictions" / "far.parquet")
        (own_run / "metrics" / "validation.json").write_text("{}")

    assert interrupted(own_run, work) == (
        f"interrupted; written to {own_run} by then: the members of seed 44, the predictions of far and the metrics of "
        "validation; run the same command again"
    )


def test_other_errors_pass(tmp_path):
    with pytest.raises(ZeroDivisionError, match="x"), telling_what_is_kept(RunFolder(tmp_path)):
        raise ZeroDivisionError("x")

import shlex
import shutil

import pytest

from ensemble_uq_llm.commands.interruption import telling_what_is_kept
from ensemble_uq_llm.errors import InterruptedRunError
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.storage.stop import StopRequested
from ensemble_uq_llm.utils.provenance import command_line


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
    assert told == f"interrupted; nothing was finished, so nothing is kept; continue with: {command_line()}"


def test_what_was_there_before_is_not_claimed(own_run):
    told = interrupted(own_run, lambda: None)
    assert told == (
        "interrupted; nothing was finished, so nothing is kept; what was there before is unchanged; "
        f"continue with: {command_line()}"
    )


def test_what_was_written_by_then_is_named(own_run):
    def work():
        shutil.copytree(own_run / "seed_42", own_run / "seed_44")
        shutil.copy(own_run / "predictions" / "validation.parquet", own_run / "predictions" / "far.parquet")
        (own_run / "metrics" / "validation.json").write_text("{}")

    assert interrupted(own_run, work) == (
        f"interrupted; kept in {own_run}: the members of seed 44, the predictions of far and the metrics of "
        f"validation; continue with: {command_line()}"
    )


def test_how_far_training_was_is_told_of_all_groups(tmp_path):
    def work(*steps):
        for seed, step in enumerate(steps):
            (tmp_path / "checkpoints" / f"from_seed_{seed}" / f"step_{step:08d}_epoch_0001").mkdir(parents=True)

    assert ": training up to step 1,200; continue" in interrupted(tmp_path, lambda: work(1200))
    assert ": training up to step 900 to 1,200; continue" in interrupted(tmp_path, lambda: work(1000, 900, 1200))


def test_a_stop_names_its_signal_and_the_command_is_one_for_a_shell(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["/usr/bin/ensemble-uq", "train", "my run.yaml", "--set", "seeds=[1, 2]"])
    told = pytest.raises(InterruptedRunError, match=r"^stopped by SIGHUP; nothing .*")
    with told as caught, telling_what_is_kept(RunFolder(tmp_path)):
        raise StopRequested("SIGHUP")
    command = str(caught.value).partition("; continue with: ")[2]
    assert shlex.split(command) == ["ensemble-uq", "train", "my run.yaml", "--set", "seeds=[1, 2]"]


def test_other_errors_pass(tmp_path):
    with pytest.raises(ZeroDivisionError, match="x"), telling_what_is_kept(RunFolder(tmp_path)):
        raise ZeroDivisionError("x")


def test_a_part_of_a_prediction_is_told(own_run):
    def work():
        (own_run / "checkpoints" / "predictions" / "far" / "rows_0000000000").mkdir(parents=True)

    assert f": a part of the predictions of far; continue with: {command_line()}" in interrupted(own_run, work)


@pytest.mark.parametrize(("resume", "told"), [(True, ""), (False, " --set resume=true")])
def test_the_command_of_a_training_that_was_to_begin_anew_goes_on(resume, told, tmp_path):
    step = tmp_path / "checkpoints" / "from_seed_1" / "step_00000003_epoch_0000"
    stopped = pytest.raises(InterruptedRunError, match="up to step 3; continue")
    with stopped as caught, telling_what_is_kept(RunFolder(tmp_path), resume=resume):
        step.mkdir(parents=True)
        raise KeyboardInterrupt
    assert str(caught.value).endswith(command_line() + told)

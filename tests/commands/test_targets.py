import pytest

from ensemble_uq_llm.commands.targets import check_evaluable
from ensemble_uq_llm.errors import ConfigError


def test_a_folder_of_members_is_told_how_to_become_a_run_again(own_run):
    check_evaluable(own_run)
    (own_run / "config.yaml").unlink()
    with pytest.raises(ConfigError, match="so not a run; train again with the YAML that made its members, which"):
        check_evaluable(own_run)


def test_a_folder_of_other_files_is_told_which_can_be_named(tmp_path):
    (tmp_path / "mine.csv").touch()
    with pytest.raises(ConfigError, match=r"name one of the files in it: 'mine\.csv'"):
        check_evaluable(tmp_path)

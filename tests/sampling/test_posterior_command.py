import json

import pytest

from ensemble_uq_llm.config_file import load_config
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.run_folder import RunFolder

pytestmark = pytest.mark.filterwarnings("always:.*(mutual information over samples|of a member show):UserWarning")


@pytest.fixture
def dropped(call, own_run):
    """A run of samples of the finished run's two members."""
    code, out, err = call("posterior", own_run, "--maker", "mc_dropout", "--samples", 3, "--with", "rate=0.2")
    assert code == 0, err
    return own_run.with_name("own_mc_dropout"), out, err


def test_the_samples_are_a_run_and_the_next_command_predicts_it(dropped, call):
    folder, out, err = dropped
    assert f"6 samples by mc_dropout in {folder}" in out
    assert f"next: ensemble-uq predict {folder} --evaluate" in out
    assert "samples of 2 trained members tells other data worse" in err
    assert "3 samples of a member show 67% of the spread" in err
    assert RunFolder(folder).members() == [MemberId(seed, sample) for seed in (42, 43) for sample in (1, 2, 3)]
    assert load_config(folder).output_dir == folder
    code, out, _ = call("predict", folder, "--evaluate", "--json")
    assert (code, json.loads(out)["validation"]["members"]) == (0, 6)
    assert call("verify", folder)[0] == 0
    assert call("report", folder)[0] == 0
    assert call("compare", folder.with_name("own"), folder)[0] == 0


def test_it_is_valid_and_nothing_is_trained_in_it(dropped, call):
    folder, _, _ = dropped
    code, out, _ = call("validate", folder)
    assert (code, f"next: ensemble-uq predict {folder}" in out) == (0, True)
    assert "samples made by mc_dropout of the members of" in out
    for words in (("train", folder), ("run", folder), ("train", folder, "--dry-run")):
        code, _, err = call(*words)
        assert code == 2
        assert "holds samples made by mc_dropout of the members of" in err
        assert "beside which nothing is trained; use another output_dir" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "--maker: name one of ivon, laplace, mc_dropout, swag, tfb, or set `posterior` in the configuration"),
        (("--maker", "temperature"), "temperature makes no samples"),
        (("--maker", "mc_droput"), "'mc_droput' is no maker"),
        (("--maker", "mc_dropout", "--with", "rate"), "--with: 'rate'; give each setting once, as KEY=VALUE"),
        (("--maker", "mc_dropout", "--with", "p=0.1"), "--with: mc_dropout: 'p': no setting of its"),
        (("--maker", "mc_dropout", "--with", "rate=2"), "rate: must be less than 1, found '2'"),
        (("--maker", "tfb"), "calibration: nothing is held out"),
    ],
)
def test_what_cannot_be_is_named_and_nothing_is_written(call, own_run, words, message):
    code, _, err = call("posterior", own_run, *words)
    assert code in (2, 3)
    assert message in err
    assert [path.name for path in own_run.parent.glob("own*") if (path / "run.json").exists()] == ["own"]


def test_given_adapters_are_sampled(call, own_run, tmp_path):
    code, out, err = call(
        "posterior", own_run, "--maker", "mc_dropout", "--samples", 5, "--with", "rate=0.1", "--json",
        "--output", tmp_path / "given", "--adapter", own_run / "seed_42",
    )  # fmt: skip
    assert code == 0, err
    assert json.loads(out)["members"] == [f"seed_42_sample_{sample}" for sample in range(1, 6)]


def test_run_makes_predicts_and_evaluates_the_samples_that_a_yaml_asks_for(call, tiny_yaml, other_data, tmp_path):
    text = tiny_yaml.read_text().replace("validation_file: ", f"validation_file: {other_data} # ")
    tiny_yaml.write_text(f"{text}posterior: tfb\nposterior_samples: 2\ncalibration_fraction: 0.5\n")
    code, out, err = call("run", tiny_yaml, "--json")
    assert code == 0, err
    assert json.loads(out)["validation"]["members"] == 4
    made = RunFolder(tmp_path / "run_tfb")
    assert made.report.exists()
    assert RunFolder(tmp_path / "run").report.exists()
    assert "2 samples by tfb of each of 2 trained members" in made.report.read_text()
    before = made.predictions("validation").stat().st_mtime_ns
    assert call("run", tiny_yaml, "--json")[0] == 0
    assert made.predictions("validation").stat().st_mtime_ns == before

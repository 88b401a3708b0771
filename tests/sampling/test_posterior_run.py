"""Samples of a run's members as a run: made once, predicted, evaluated, compared, verified, and never trained."""

import json
import shutil

import peft
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from ensemble_uq_llm import Run, compare
from ensemble_uq_llm.data.job import Job
from ensemble_uq_llm.errors import ConfigError, DataError, StorageError
from ensemble_uq_llm.inference.members import load_members
from ensemble_uq_llm.member import MemberId
from ensemble_uq_llm.models.logits import member_logits
from ensemble_uq_llm.posteriors.laplace.laplace import Laplace
from ensemble_uq_llm.posteriors.mc_dropout import McDropout
from ensemble_uq_llm.posteriors.tfb import Tfb
from ensemble_uq_llm.run_folder import RunFolder
from ensemble_uq_llm.sampling.posterior_run import make_posterior
from ensemble_uq_llm.training.loop import train
from ensemble_uq_llm.utils.files import sha256_of
from ensemble_uq_llm.verification.verify import verify
from small_runs import ANSWERING, settings
from tiny_models import padded

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*(mutual information over samples|of a member show):UserWarning"),
    pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`:UserWarning"),
]

TRAINED = {"calibration_fraction": 0.5, "lora_dropout": 0.2, "bootstrap_draws": 100}
BRIEF = Tfb(passes=2, rounds=3)


@pytest.fixture(scope="module")
def config(tiny_base, tiny_data, other_data, tmp_path_factory):
    changes = {**TRAINED, "validation_file": other_data, "lora_alpha": 12}  # a scale that is no power of two
    config = settings(tiny_base, tiny_data, tmp_path_factory.mktemp("parents") / "run", **changes)
    train(config)
    return config


@pytest.fixture(scope="module")
def sampled(config):
    with pytest.warns(UserWarning, match="3 samples of a member show 67% of the spread|3 trained members tells other"):
        return make_posterior(config, McDropout(), samples=3)


def weights_of(config, member):
    return load_file(RunFolder(config.output_dir).member_weights(member))


def record_of(config, member):
    return json.loads(RunFolder(config.output_dir).member_record(member).read_text())


def test_it_lies_beside_the_run_with_every_sample_of_every_member(config, sampled):
    assert sampled.output_dir == config.output_dir.with_name("run_mc_dropout")
    run = Run(sampled.output_dir)
    assert run.members == tuple(MemberId(seed, sample) for seed in (1, 2, 3) for sample in (1, 2, 3))
    record = RunFolder(sampled.output_dir).record()["posterior"]
    assert record | {"seconds": 0} == {
        "maker": "mc_dropout",
        "settings": {"rate": None},
        "samples": 3,
        "generator_seed": 0,
        "parents": {
            f"seed_{seed}": sha256_of(RunFolder(config.output_dir).member_weights(MemberId(seed))) for seed in (1, 2, 3)
        },
        "parent_run": str(config.output_dir),
        "seconds": 0,
    }


def test_without_noise_the_samples_say_what_the_members_say_bit_for_bit(config, tmp_path):
    none = make_posterior(config, McDropout(rate=0.0), samples=5, output=tmp_path / "none")
    parents, samples = load_members(config), load_members(none)
    sequences = _sequences(config, parents)
    for index, member in enumerate(samples.ensemble.members):
        parent = (1, 2, 3).index(member.seed)
        for (name, sample_M), (_, parent_M) in zip(
            samples.ensemble.named_stacks(), parents.ensemble.named_stacks(), strict=True
        ):
            assert torch.equal(sample_M[index], parent_M[parent]), name
        said, expected = (
            member_logits(each.ensemble, sequences, budget=4096, members=[place])
            for each, place in ((samples, index), (parents, parent))
        )
        assert (said == expected).all()


def test_it_is_predicted_evaluated_compared_and_verified_like_any_run(config, sampled):
    parent, run = Run(config.output_dir), Run(sampled.output_dir)
    parent.predict()
    predictions = run.predict()
    assert {*predictions} == {"validation", "calibration"}
    assert len(predictions["validation"].members) == 9
    assert run.evaluate()["validation"].metrics.members == 9
    assert "3 samples by mc_dropout of each of 3 trained members" in run.report().read_text()
    comparison = compare(parent, run)
    assert comparison.protocols.a.maker == "training"
    assert comparison.protocols.b.maker == "mc_dropout"
    assert {*comparison.protocols.differs_in} == {"maker", "members"}
    assert comparison.protocols.known_of_one == ()
    assert verify(RunFolder(sampled.output_dir)).is_sound


def test_an_altered_sample_is_found(sampled, tmp_path):
    folder = RunFolder(shutil.copytree(sampled.output_dir, tmp_path / "copy"))
    path = folder.member_weights(MemberId(2, 2))
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\1")
    found = verify(folder)
    assert "seed_2_sample_2/adapter_model.safetensors" in found.findings


def test_an_altered_parent_is_found(config, tmp_path):
    parent = config.model_copy(update={"output_dir": shutil.copytree(config.output_dir, tmp_path / "parent")})
    made = RunFolder(make_posterior(parent, McDropout(rate=0.1), samples=5).output_dir)
    assert verify(made).checked["parent"] == 3
    weights = RunFolder(parent.output_dir).member_weights(MemberId(2))
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    [line] = verify(made).lines()
    assert line.startswith(f"{weights}: not the weights any more")
    shutil.rmtree(parent.output_dir)
    assert len([each for each in verify(made).unchecked if "it is not there any more" in each]) == 3


def test_nothing_is_trained_beside_samples(sampled):
    with pytest.raises(StorageError, match=r"holds samples made by mc_dropout of the members of .*run, beside which"):
        train(sampled)


def test_the_same_samples_are_made_once_and_others_are_refused(config, sampled):
    folder = RunFolder(sampled.output_dir)
    before = folder.member_weights(MemberId(1, 1)).stat().st_mtime_ns
    assert make_posterior(config, McDropout(), samples=3) == sampled
    assert folder.member_weights(MemberId(1, 1)).stat().st_mtime_ns == before
    for changes in ({"samples": 4}, {"samples": 3, "seed": 1}):
        with pytest.raises(ConfigError, match=r"holds 3 samples a member by mc_dropout, made otherwise"):
            make_posterior(config, McDropout(), **changes)


def test_a_run_that_was_trained_is_not_written_over(config, tmp_path):
    with pytest.raises(ConfigError, match="is the run itself; name another folder for its samples"):
        make_posterior(config, McDropout(), samples=5, output=config.output_dir)
    other = shutil.copytree(config.output_dir, tmp_path / "other")
    with pytest.raises(ConfigError, match="other is a run that was trained; name another folder"):
        make_posterior(config, McDropout(), samples=5, output=other)


def test_samples_of_samples_are_refused(sampled, tmp_path):
    with pytest.raises(ConfigError, match=r"seed 1, sample 1, seed 1, sample 2 and .*made by a maker already"):
        make_posterior(sampled, McDropout(), samples=5, output=tmp_path / "again")


def test_another_seed_draws_other_samples(config, sampled, tmp_path):
    other = make_posterior(config, McDropout(), samples=3, output=tmp_path / "other", seed=1)
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    one, two = (weights_of(each, MemberId(1, 1))[name] for each in (sampled, other))
    assert not torch.equal(one, two)


def test_all_members_at_once_equal_one_alone_bit_for_bit(config, tmp_path):
    together = make_posterior(config, BRIEF, samples=2, output=tmp_path / "together")
    alone = make_posterior(config.model_copy(update={"seeds": (2,)}), BRIEF, samples=2, output=tmp_path / "alone")
    for sample in (1, 2):
        one, other = (weights_of(each, MemberId(2, sample)) for each in (together, alone))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)
    records = [
        json.loads(RunFolder(each.output_dir).member_record(MemberId(2, 1)).read_text()) for each in (together, alone)
    ]
    assert records[0]["facts"] == records[1]["facts"]
    assert records[0]["facts"]["anchor_rows"] == 12


def test_a_maker_without_its_rows_says_what_to_do(config, tmp_path):
    bare = config.model_copy(update={"calibration_fraction": 0.0})
    with pytest.raises(DataError, match="calibration: nothing is held out; set calibration_fraction"):
        make_posterior(bare, BRIEF, samples=5, output=tmp_path / "bare")


def test_adapters_from_elsewhere_are_sampled_where_their_weights_suffice(config, tmp_path):
    folders = []
    for seed in (1, 2):
        folders.append(
            shutil.copytree(RunFolder(config.output_dir).member(MemberId(seed)), tmp_path / f"theirs_{seed}")
        )
    made = make_posterior(config, McDropout(), samples=5, output=tmp_path / "given", adapters=folders)
    assert made.seeds == (0, 1)
    run = Run(made.output_dir)
    assert len(run.members) == 10
    record = json.loads(RunFolder(made.output_dir).member_record(MemberId(1, 5)).read_text())
    assert record["parent"] == {
        "folder": str(folders[1]),
        "weights_sha256": sha256_of(folders[1] / "adapter_model.safetensors"),
    }
    assert RunFolder(made.output_dir).record()["posterior"]["parent_run"] is None
    assert run.predict()["validation"].members == run.members


def test_the_answer_heads_samples_reload_in_peft_with_equal_logits(tiny_base, tiny_data, other_data, tmp_path):
    changes = {**TRAINED, **ANSWERING, "validation_file": other_data, "seeds": (1, 2)}
    config = settings(tiny_base, tiny_data, tmp_path / "answering", **changes)
    train(config)
    for maker in (McDropout(), BRIEF):
        made = make_posterior(config, maker, samples=2)
        loaded = load_members(made)
        sequences = _sequences(config, loaded)[:4]
        ours = torch.from_numpy(member_logits(loaded.ensemble, sequences, budget=4096))
        for index, member in enumerate(loaded.ensemble.members):
            base = AutoModelForCausalLM.from_pretrained(tiny_base, attn_implementation="eager")
            model = peft.PeftModel.from_pretrained(base, str(RunFolder(made.output_dir).member(member))).eval()
            lengths_B = torch.tensor([len(each) for each in sequences])
            batch = padded(sequences) | {"attention_mask": (torch.arange(max(lengths_B)) < lengths_B[:, None]).long()}
            with torch.no_grad():
                logits_BTV = model(**batch).logits
            theirs = logits_BTV[torch.arange(len(sequences)), lengths_B - 1][:, list(loaded.answer_tokens)]
            assert (ours[index] - theirs).abs().max() < 1e-6 * max(1, theirs.abs().max())


def test_members_with_bags_are_sampled_by_the_rows_that_they_have_seen(tiny_base, tiny_data, other_data, tmp_path):
    changes = {"bootstrap": "balanced", "validation_file": other_data}
    config = settings(tiny_base, tiny_data, tmp_path / "run", **changes)
    train(config)
    sampled = make_posterior(config, Laplace(precision=1.0), samples=5)
    bags, rows = Job(config).bags, len(Job(config).train.examples)
    assert 0 < bags.smallest < rows
    for seed in config.member_seeds:
        assert record_of(sampled, MemberId(seed, 1))["facts"]["training_rows"] == len(bags.rows_of(seed))


def test_python_asks_by_name(config, tmp_path):
    run = Run(config.output_dir).posterior("mc_dropout", samples=5, output=tmp_path / "by name", rate=0.3)
    assert len(run.members) == 15
    assert RunFolder(run.folder).record()["posterior"]["settings"] == {"rate": 0.3}
    with pytest.raises(ConfigError, match="samples: must be a whole number of 1 to 1,000, found 0"):
        Run(config.output_dir).posterior("mc_dropout", samples=0)
    with pytest.raises(ConfigError, match="temperature makes no samples"):
        Run(config.output_dir).posterior("temperature")


def _sequences(config, loaded):
    return Job(config).validation.tokens(loaded.tokenizer).sequences

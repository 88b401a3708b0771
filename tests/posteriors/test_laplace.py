"""The maker on tiny models, both heads: against the Jacobians of the engine's own backward, alone and in company."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from bench import BenchError, Gaussian, check_all, check_members_differ, check_scale

from ensemble_uq_llm.errors import ConfigError, DataError
from ensemble_uq_llm.member import trained
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.heads.answer import AnswerKind
from ensemble_uq_llm.models.heads.head import HeadKind
from ensemble_uq_llm.models.heads.lm_head import LmHead
from ensemble_uq_llm.models.lora.spec import AdapterSpec, adapted_modules
from ensemble_uq_llm.models.pack import make_pack
from ensemble_uq_llm.models.taps.example_gradients import example_gradients
from ensemble_uq_llm.posteriors.laplace.curvature import contrasts
from ensemble_uq_llm.posteriors.laplace.laplace import Laplace
from ensemble_uq_llm.posteriors.maker import LabelledRows, Parents, seeded
from tiny_models import random_sequences, randomise, save_tiny_llama, tiny_config, tiny_decoder, tiny_ensemble

SEEDS = (42, 43, 44)
SEQUENCES = random_sequences(30, seed=2)
TOKENS = (7, 11, 90)


def rows(classes: int, *, options: bool = False) -> LabelledRows:
    labels_N = np.arange(len(SEQUENCES)) % (2 if options else classes)
    options_N = np.where(np.arange(len(SEQUENCES)) % 3 == 0, classes, 2) if options else None
    return LabelledRows(sequences=SEQUENCES, labels_N=labels_N, options_N=options_N, digest="digest")


def answering(folder: Path, seeds=SEEDS, *, adapts_head: bool = True, **keys) -> StackedEnsemble:
    keep = {key: value for key, value in keys.items() if key != "tells_rest"}
    base = save_tiny_llama(folder / "base", **keep)
    decoder = tiny_decoder(tiny_config(**keep))
    kind: HeadKind = AnswerKind(LmHead.of(base, dtype=torch.float32), TOKENS, tells_rest=keys.get("tells_rest", False))
    modules = adapted_modules(decoder, ("q_proj", "v_proj"), None)
    spec = AdapterSpec(
        rank=4, scaling=1.0, dropout=0.0, classes=3, modules=modules, head_kind=kind, adapts_head=adapts_head
    )
    return randomise(StackedEnsemble(decoder, spec=spec, members=trained(seeds)), 0.5)


CASES = {"two classes": 2, "four classes": 4, "answer head": 3, "answer head that tells of the rest": 3, "options": 4}


@pytest.fixture(params=CASES)
def parents(request, tmp_path) -> Parents:
    classes = CASES[request.param]
    if request.param.startswith("answer"):
        ensemble = answering(tmp_path, tells_rest="rest" in request.param)
    else:
        ensemble = tiny_ensemble(seeds=SEEDS, classes=classes)
    return Parents(ensemble=ensemble, budget=500, training=rows(classes, options=request.param == "options"))


def layer_name(parents: Parents) -> str:
    return "score.weight" if hasattr(parents.ensemble.head, "weight_MCH") else "lm_head.lora_B.weight"


def target_of(parents: Parents, index: int, precision: float) -> Gaussian:
    """The Gauss-Newton matrix by the engine's own backward: every sequence's Jacobian of its logits, class by class."""
    ensemble, seen = parents.ensemble, parents.training
    name = layer_name(parents)
    weights_CH = dict(ensemble.named_stacks())[name].detach()[index].double().numpy()
    classes = len(weights_CH)
    jacobian_NCP = np.stack(
        [
            np.concatenate(
                [
                    part.by_name[name].double().flatten(1).numpy()
                    for part in example_gradients(ensemble, index, SEQUENCES, lambda z, _, c=c: z[:, c], budget=200)
                ]
            )
            for c in range(classes)
        ],
        axis=1,
    )
    pack = make_pack([(index, SEQUENCES)], device=torch.device("cpu"))
    logits_NC = ensemble(pack).detach().double()[:, :classes]
    if seen.options_N is not None:
        logits_NC[torch.arange(classes) >= torch.tensor(seen.options_N)[:, None]] = -torch.inf
    probs_NC = logits_NC.softmax(1).numpy()
    blocks_NCC = np.einsum("nc,cd->ncd", probs_NC, np.eye(classes)) - probs_NC[:, :, None] * probs_NC[:, None]
    matrix = np.einsum("ncp,ncd,ndq->pq", jacobian_NCP, blocks_NCC, jacobian_NCP)
    basis = np.kron(contrasts(classes), np.eye(weights_CH.shape[1]))
    inverse = basis.T @ matrix @ basis + precision * np.eye(basis.shape[1])
    return Gaussian(basis.T @ weights_CH.ravel(), np.linalg.inv((inverse + inverse.T) / 2))


def flat(parents: Parents, made) -> list[np.ndarray]:
    """Every member's samples as contrasts [S, P]."""
    name = layer_name(parents)
    basis_CE = contrasts(made.samples[0][0][name].shape[0])
    return [np.stack([(basis_CE.T @ each[name].double().numpy()).ravel() for each in own]) for own in made.samples]


def test_samples_are_those_of_the_engines_own_jacobians(parents):
    made = Laplace().make(parents, 300, seeded("laplace"))
    targets = [target_of(parents, index, made.facts[index]["precision"]) for index in range(len(SEEDS))]
    samples = flat(parents, made)
    for own, target in zip(samples, targets, strict=True):
        check_all(own, target)
        with pytest.raises(BenchError, match=r"scale: .* 1\.[34]"):
            check_scale(target.mean + 2**0.5 * (own - target.mean), target)
    check_members_differ(samples, targets)
    assert {fact["structure"] for fact in made.facts} == {"full"}
    assert all(set(sample) == {layer_name(parents)} for own in made.samples for sample in own)


def test_a_member_that_left_rows_out_is_fitted_on_the_others(tmp_path):
    whole = Parents(ensemble=tiny_ensemble(seeds=SEEDS), budget=500, training=rows(2))
    seen_MN = np.random.default_rng(0).random((len(SEEDS), len(SEQUENCES))) < 0.7
    made = Laplace().make(replace(whole, training=replace(rows(2), seen_MN=seen_MN)), 3, seeded("laplace"))
    for index, seen_N in enumerate(seen_MN):
        own = replace(whole, training=rows(2).only(np.flatnonzero(seen_N)))
        wanted = Laplace().make(own, 3, seeded("laplace"))
        assert made.facts[index]["training_rows"] == seen_N.sum()
        for ours, theirs in zip(made.samples[index], wanted.samples[index], strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_members_in_company_have_the_samples_that_they_have_alone(tmp_path):
    together = Parents(ensemble=tiny_ensemble(seeds=SEEDS), budget=500, training=rows(2))
    alone = replace(together, ensemble=tiny_ensemble(seeds=SEEDS[1:2]))
    made, solo = (Laplace().make(each, 4, seeded("laplace")) for each in (together, alone))
    for ours, theirs in zip(made.samples[1], solo.samples[0], strict=True):
        assert torch.equal(ours["score.weight"], theirs["score.weight"])
    assert made.facts[1] == solo.facts[0]


def test_no_variance_gives_the_parent(tmp_path):
    parents = Parents(ensemble=tiny_ensemble(seeds=SEEDS), budget=500, training=rows(2))
    made = Laplace(precision=1e30).make(parents, 2, seeded("laplace"))
    for index, own in enumerate(made.samples):
        assert all(torch.equal(each["score.weight"], parents.ensemble.head.weight_MCH[index]) for each in own)


def test_an_answer_head_of_the_base_alone_is_refused(tmp_path):
    ensemble = answering(tmp_path, adapts_head=False)
    parents = Parents(ensemble=ensemble, budget=500, training=rows(3))
    with pytest.raises(
        ConfigError, match=r"the answer head of .* is the base's own.*lm_head among lora_target_modules"
    ):
        Laplace().make(parents, 2, seeded("laplace"))


def test_a_member_without_the_others_adapter_on_the_head_is_refused(tmp_path):
    ensemble = answering(tmp_path)
    with torch.no_grad():
        ensemble.head.adapters["lm_head"].lora_a_MRI[2].zero_()
    parents = Parents(ensemble=ensemble, budget=500, training=rows(3))
    with pytest.raises(ConfigError, match="the answer head of seed 44"):
        Laplace().make(parents, 2, seeded("laplace"))


def test_without_training_rows_it_is_refused():
    with pytest.raises(DataError, match="needs the training rows"):
        Laplace().make(Parents(ensemble=tiny_ensemble(), budget=500), 2, seeded("laplace"))


@pytest.mark.parametrize(
    ("setting", "message"), [({"precision": 0}, "precision: must be"), ({"largest": -1}, "largest")]
)
def test_settings_with_which_nothing_is_fitted(setting, message):
    with pytest.raises(ConfigError, match=message):
        Laplace(**setting)


def test_evidence_without_a_peak_is_told():
    ensemble = tiny_ensemble(seeds=(42,))
    with torch.no_grad():
        ensemble.head.weight_MCH.zero_()
    parents = Parents(ensemble=ensemble, budget=500, training=rows(2))
    with pytest.warns(UserWarning, match="the evidence has no peak.*--with precision=NUMBER"):
        Laplace().make(parents, 1, seeded("laplace"))


@pytest.mark.filterwarnings("default:.*mutual information over samples")
def test_a_sample_of_a_run_is_a_folder_that_predicts(own_run, tmp_path, call):
    """Its logits, and `peft`'s own, are those of the drawn weights."""
    samples = tmp_path / "samples"
    code, _, said = call("posterior", own_run, "--maker", "laplace", "--samples", 5, "--output", samples)
    assert (code, "train 4 members or more" in " ".join(said.split())) == (0, True), said
    record = json.loads((samples / "seed_42_sample_2" / "member.json").read_text())
    assert record["facts"]["layer"] == "score.weight"
    assert record["facts"]["precision_by"] == "evidence"
    code, _, said = call("predict", samples)
    assert code == 0, said

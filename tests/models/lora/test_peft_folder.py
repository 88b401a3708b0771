"""Members on disk: `peft` reads ours, we read `peft`'s, and what is not a plain adapter is refused by name."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.errors import IntegrityError
from ensemble_uq_llm.member import trained
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.logits import member_logits
from ensemble_uq_llm.models.lora.peft_folder import WEIGHTS, adapter_of, ensemble_of, read_adapter, write_adapter
from ensemble_uq_llm.models.lora.peft_settings import SETTINGS
from ensemble_uq_llm.models.lora.spec import spec_of
from ensemble_uq_llm.training.from_config import base_name, lora_settings
from tiny_models import (
    ALL_TARGETS,
    assert_close,
    classified,
    padded,
    random_sequences,
    randomise,
    save_tiny_llama,
    sequence_classifier,
    tiny_llama,
    train_and_save,
)

SEQUENCES = random_sequences(6, seed=11, highest=30)
CHOICES = {
    "usual": {},
    "all modules, rank 3": {"lora_target_modules": ALL_TARGETS, "lora_r": 3, "lora_alpha": 5},
    "one layer, three classes": {"lora_target_modules": ("o_proj", "up_proj"), "lora_layers": (1,), "num_labels": 3},
}


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return save_tiny_llama(tmp_path_factory.mktemp("base"))


def config_for(base: Path, **more) -> Config:
    return Config(
        **{"model_name": str(base), "lora_r": 4, "lora_alpha": 8, "use_bf16": False, "seeds": (42, 43)} | more
    )


def written(config: Config, folder: Path) -> tuple[StackedEnsemble, list[Path]]:
    """Return a randomised ensemble and its members' folders."""
    decoder = tiny_llama()
    ensemble = randomise(
        StackedEnsemble(
            decoder,
            spec=spec_of(lora_settings(config), decoder, classes=config.num_labels),
            members=trained(config.member_seeds),
        )
    )
    folders = [folder / f"seed_{seed}" for seed in config.member_seeds]
    for member, each in enumerate(folders):
        each.mkdir()
        write_adapter(ensemble, member, each, settings=lora_settings(config), base=base_name(config))
    return ensemble, folders


def our_logits(ensemble: StackedEnsemble) -> Tensor:
    return torch.from_numpy(member_logits(ensemble, SEQUENCES, budget=10_000))


def peft_logits(base: Path, folder: Path, *, classes: int) -> Tensor:
    model = peft.PeftModel.from_pretrained(sequence_classifier(base, classes=classes), str(folder)).eval()
    return classified(model, SEQUENCES)


@pytest.mark.parametrize("choice", CHOICES)
def test_peft_loads_a_member_with_equal_logits(base, tmp_path, choice):
    config = config_for(base, **CHOICES[choice])
    ensemble, folders = written(config, tmp_path)
    for logits, folder in zip(our_logits(ensemble), folders, strict=True):
        assert_close(logits, peft_logits(base, folder, classes=config.num_labels), relative=1e-4)


def test_a_member_is_a_folder_that_peft_could_have_written(base, tmp_path):
    _, folders = written(config_for(base, lora_layers=(0,), lora_target_modules=ALL_TARGETS), tmp_path)
    assert sorted(path.name for path in folders[0].iterdir()) == [SETTINGS, WEIGHTS]
    settings = json.loads((folders[0] / SETTINGS).read_text())
    expected = {
        "base_model_name_or_path": str(base.resolve()),
        "peft_type": "LORA",
        "task_type": "SEQ_CLS",
        "r": 4,
        "lora_alpha": 8,
        "lora_dropout": 0.1,
        "target_modules": sorted(ALL_TARGETS),  # in this order, whatever the process's hashes are
        "layers_to_transform": [0],
        "modules_to_save": ["score"],
        "inference_mode": True,
    }
    assert {key: settings[key] for key in expected} == expected
    model = peft.PeftModel.from_pretrained(sequence_classifier(base, classes=2), str(folders[0]))
    model.save_pretrained(tmp_path / "theirs")
    ours, theirs = (load_file(folder / WEIGHTS) for folder in (folders[0], tmp_path / "theirs"))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    ("name", "recorded"),
    [("embedded", "/.*/assets/tiny_llama"), ("meta-llama/Llama-3.2-1B", "meta-llama/Llama-3.2-1B")],
)
def test_the_base_is_recorded_so_that_peft_finds_it(base, tmp_path, name, recorded):
    _, folders = written(config_for(base, model_name=name, model_revision="abc"), tmp_path)
    settings = peft.LoraConfig.from_pretrained(str(folders[0]))
    assert settings.revision == "abc"
    assert re.fullmatch(recorded, settings.base_model_name_or_path)


@pytest.mark.parametrize("choice", CHOICES)
def test_what_is_written_is_read_back(base, tmp_path, choice):
    config = config_for(base, **CHOICES[choice])
    ensemble, folders = written(config, tmp_path)
    again = ensemble_of(tiny_llama(), [read_adapter(folder) for folder in folders], members=trained((42, 43)))
    assert again.members == trained((42, 43))
    assert_close(our_logits(again), our_logits(ensemble))


FOREIGN = {
    "rank 4": {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]},
    "rank-stabilised, all modules": {
        "r": 3,
        "lora_alpha": 7,
        "target_modules": list(ALL_TARGETS),
        "use_rslora": True,
        "lora_dropout": 0.2,
    },
    "one layer, gaussian": {
        "r": 8,
        "lora_alpha": 4,
        "target_modules": ["o_proj", "down_proj"],
        "layers_to_transform": [1],
        "init_lora_weights": "gaussian",
    },
    "all-linear": {"r": 1, "lora_alpha": 2, "target_modules": "all-linear"},
    "a rank and an alpha a layer": {
        "r": 4,
        "lora_alpha": 8,
        "target_modules": ["q_proj", "v_proj", "down_proj"],
        "rank_pattern": {"v_proj": 2, r"layers\.1\.self_attn\.q_proj": 6},
        "alpha_pattern": {"q_proj": 3},
    },
    "rank-stabilised, a rank a layer": {
        "r": 4,
        "lora_alpha": 8,
        "target_modules": ["q_proj", "v_proj"],
        "rank_pattern": {"v_proj": 2},
        "use_rslora": True,
    },
    "excluded": {"r": 2, "lora_alpha": 4, "target_modules": "all-linear", "exclude_modules": ["k_proj", "up_proj"]},
    "by expression": {"r": 2, "lora_alpha": 16, "target_modules": r".*\.0\..*(k_proj|gate_proj)"},
}


def trained_by_peft(base: Path, folder: Path, *, classes: int = 2, **settings) -> Path:
    """Train an adapter for a few large steps with `peft` alone, save it, and return its folder."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(len(str(folder)))
        model = sequence_classifier(base, classes=classes)
        lora = peft.LoraConfig(task_type=peft.TaskType.SEQ_CLS, **settings)
        labels = torch.arange(len(SEQUENCES)) % classes
        return train_and_save(
            model,
            lora,
            lambda each: torch.nn.functional.cross_entropy(each(**padded(SEQUENCES)).logits, labels),
            folder,
        )


@pytest.fixture(scope="module")
def foreign(base, tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("foreign")
    return {name: trained_by_peft(base, root / str(i), **each) for i, (name, each) in enumerate(FOREIGN.items())}


def test_adapters_of_peft_mix_in_one_ensemble(base, foreign):
    adapters = [read_adapter(folder) for folder in foreign.values()]
    assert [adapter.rank for adapter in adapters] == [4, 3, 8, 1, 6, 4, 2, 2]
    ensemble = ensemble_of(tiny_llama(), adapters, members=trained(range(len(adapters))))
    untrained = classified(sequence_classifier(base, classes=2), SEQUENCES)
    for logits, folder in zip(our_logits(ensemble), foreign.values(), strict=True):
        expected = peft_logits(base, folder, classes=2)
        assert (expected - untrained).abs().max() > 0.1
        assert_close(logits, expected)


def test_a_half_precision_adapter_is_read_in_float32(base, foreign, tmp_path):
    folder = copied(foreign["rank 4"], tmp_path)
    tensors = load_file(folder / WEIGHTS)
    save_file({name: tensor.bfloat16() for name, tensor in tensors.items()}, folder / WEIGHTS)
    adapter = read_adapter(folder)
    assert adapter.head["score.weight"].dtype == torch.float32
    logits = our_logits(ensemble_of(tiny_llama(), [adapter], members=trained((0,))))[0]
    assert_close(logits, peft_logits(base, folder, classes=2))


def copied(folder: Path, target: Path) -> Path:
    for path in folder.iterdir():
        if path.is_file():
            (target / path.name).write_bytes(path.read_bytes())
    return target


def setting(**changes) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        settings = json.loads((folder / SETTINGS).read_text())
        (folder / SETTINGS).write_text(json.dumps(settings | changes))

    return damage


def tensors(change: Callable[[dict[str, Tensor]], None]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        held = load_file(folder / WEIGHTS)
        change(held)
        save_file(held, folder / WEIGHTS)

    return damage


def pickle_instead(folder: Path) -> None:
    torch.save(load_file(folder / WEIGHTS), folder / "adapter_model.bin")
    (folder / WEIGHTS).unlink()


def truncate(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-100])


def replaced(name: str, make: Callable[[Path], None]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return damage


Q = "base_model.model.model.layers.0.self_attn.q_proj"
HEAD = "base_model.model.score.weight"
DAMAGES = {
    "no settings": (
        lambda folder: (folder / SETTINGS).unlink(),
        "adapter_config.json: there is no such file, so .*/a ",
    ),
    "torn settings": (lambda folder: (folder / SETTINGS).write_text('{"r": 4'), "adapter_config.json: not JSON: "),
    "binary settings": (lambda folder: (folder / SETTINGS).write_bytes(b"\xff\xfe"), "adapter_config.json: not JSON: "),
    "a list": (lambda folder: (folder / SETTINGS).write_text("[1]"), "adapter_config.json: .*not a JSON object"),
    "another task": (setting(task_type="CAUSAL_LM"), "task_type 'CAUSAL_LM'; only LORA for SEQ_CLS"),
    "another method": (setting(peft_type="LOHA"), "peft_type 'LOHA'"),
    "DoRA": (setting(use_dora=True), "use_dora = True: DoRA is not supported"),
    "LoRA bias": (setting(lora_bias=True), "lora_bias = True: LoRA with a bias is not supported"),
    "trained biases": (setting(bias="lora_only"), "bias = 'lora_only': trained biases"),
    "a key of tomorrow": (setting(use_whatever=True), "use_whatever = True: that is not supported; only plain LoRA"),
    "a variant's settings": (setting(kasa_config={"beta": 1}), "kasa_config = an object: that is not supported"),
    "replicated layers": (setting(layer_replication=[[0, 2]]), "layer_replication = .*: layer replication"),
    "trained tokens": (setting(trainable_token_indices=[1]), "trainable_token_indices = .*: trained token embeddings"),
    "changed base": (setting(init_lora_weights="pissa"), "init_lora_weights = 'pissa': PEFT changes the base with it"),
    "rank zero": (setting(r=0), "adapter_config.json: r and lora_alpha must be positive"),
    "rank a flag": (setting(r=True), "adapter_config.json: r and lora_alpha must be positive"),
    "rank broken": (setting(r=4.5), "adapter_config.json: r and lora_alpha must be positive"),
    "rank beyond bounds": (setting(r=10**400), "r and lora_alpha must be positive numbers, of at most 1,000,000,000"),
    "alpha beyond bounds": (setting(lora_alpha=10**400), "r and lora_alpha must be positive numbers, of at most"),
    "alpha infinite": (setting(lora_alpha=float("inf")), "r and lora_alpha must be positive numbers, of at most"),
    "alpha no number": (setting(lora_alpha=float("nan")), "not JSON: NaN is no number"),
    "alpha negative": (setting(lora_alpha=-8), "r and lora_alpha must be positive numbers, of at most"),
    "a negative scale a layer": (setting(alpha_pattern={"v_proj": -3}), "alpha_pattern must map names to positive"),
    "a broken rank a layer": (setting(rank_pattern={"v_proj": 2.5}), "rank_pattern must map names to positive"),
    "ranks in a list": (setting(rank_pattern=[4]), "rank_pattern must map names to positive"),
    "a number for a start": (setting(init_lora_weights=1), "init_lora_weights = 1: PEFT changes the base with it"),
    "a start that is no object": (
        setting(eva_config=[0]),
        "eva_config = a list of 1, and PEFT takes an object",
    ),
    "a key twice": (
        lambda folder: (folder / SETTINGS).write_text('{"r": 4, "r": 8}'),
        "adapter_config.json: not JSON: the key 'r' stands there twice",
    ),
    "settings in a pipe": (replaced(SETTINGS, os.mkfifo), "adapter_config.json: is a pipe, and must be a file"),
    "weights of a device": (
        replaced(WEIGHTS, lambda path: path.symlink_to("/dev/zero")),
        "adapter_model.safetensors: is a device, and must be a file",
    ),
    "weights from elsewhere": (
        replaced(WEIGHTS, lambda path: path.symlink_to("/etc/passwd")),
        "adapter_model.safetensors: is a link to /etc/passwd, outside of its folder",
    ),
    "whole numbers": (
        tensors(lambda held: held.update({HEAD: held[HEAD].to(torch.int8)})),
        "score.weight' is of type int",
    ),
    "a single number": (
        tensors(lambda held: held.update({HEAD: torch.tensor(1.0)})),
        "score.weight' is a single",
    ),
    "alpha a text": (setting(lora_alpha="8"), "adapter_config.json: r and lora_alpha must be positive"),
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), "adapter_model.safetensors: there is no such file$"),
    "pickle": (pickle_instead, "adapter_model.safetensors: there is no such file; adapter_model.bin is a pickle"),
    "truncated": (truncate, "adapter_model.safetensors: not a readable safetensors file"),
    "garbage": (lambda folder: (folder / WEIGHTS).write_bytes(b"PK" * 50), "not a readable safetensors file"),
    "no head": (tensors(lambda held: held.pop(HEAD)), "no classification head `score.weight`"),
    "no LoRA": (tensors(lambda held: [held.pop(name) for name in list(held) if "lora" in name]), "and no LoRA tensors"),
    "no B": (tensors(lambda held: held.pop(f"{Q}.lora_B.weight")), "q_proj.lora_B.weight' is missing beside .*lora_A"),
    "NaN": (tensors(lambda held: held[f"{Q}.lora_A.weight"][1, 2].fill_(float("nan"))), "lora_A.weight' holds NaN"),
    "infinite head": (tensors(lambda held: held[HEAD][0, 0].fill_(float("inf"))), "score.weight' holds NaN or inf"),
    "another tensor": (
        tensors(lambda held: held.update({"base_model.model.model.norm.weight": torch.ones(32)})),
        "unexpected tensor 'model.norm.weight'; only LoRA",
    ),
    "a magnitude": (
        tensors(lambda held: held.update({f"{Q}.lora_magnitude_vector.weight": torch.ones(32)})),
        "unexpected tensor .*lora_magnitude_vector",
    ),
    "another prefix": (tensors(lambda held: held.update({"extra": torch.ones(1)})), "unexpected tensor 'extra'"),
    "no matrix": (
        tensors(lambda held: held.update({f"{Q}.lora_A.weight": torch.ones(32)})),
        r"q_proj.lora_A.weight' has shape \(32,\), not that of a matrix",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_no_plain_adapter_is_refused(foreign, tmp_path, damage):
    change, message = DAMAGES[damage]
    folder = tmp_path / "a"
    folder.mkdir()
    copied(foreign["rank 4"], folder)
    read_adapter(folder)
    change(folder)
    with pytest.raises(IntegrityError, match=message) as caught:
        read_adapter(folder)
    assert str(folder) in str(caught.value)


def test_a_scale_that_overflows_is_refused(foreign, tmp_path):
    folder = with_settings(foreign["rank 4"], tmp_path, {"lora_alpha": 1e9})
    tensors(lambda held: held.update({f"{Q}.lora_B.weight": torch.full((32, 4), 1e38)}))(folder)
    with pytest.raises(
        IntegrityError, match=r"layers\.0\.self_attn\.q_proj\.lora_B overflows once it is scaled; is lora"
    ):
        ensemble_of(tiny_llama(), [read_adapter(folder)], members=trained((0,)))


def test_an_endless_expression_is_refused(foreign, tmp_path):
    folder = with_settings(foreign["rank 4"], tmp_path, {"target_modules": "(.*)*Z"})
    with pytest.raises(IntegrityError, match="the expressions in target_modules take too long to match; list the"):
        ensemble_of(tiny_llama(), [read_adapter(folder)], members=trained((0,)))


def test_bytes_make_the_adapter_that_files_make(foreign):
    folder = foreign["rank 4"]
    files = {"settings": (folder / SETTINGS).read_bytes(), "weights": (folder / WEIGHTS).read_bytes()}
    whole, parsed = read_adapter(folder), adapter_of(folder, **files)
    assert parsed.settings == whole.settings
    assert parsed.lora.keys() == whole.lora.keys()
    pairs = [(whole.lora[name][part], parsed.lora[name][part]) for name in whole.lora for part in (0, 1)]
    assert all(torch.equal(theirs, ours) for theirs, ours in pairs)


MISFITS = {
    "another rank": (
        lambda held: held.update({f"{Q}.lora_A.weight": torch.ones(3, 32), f"{Q}.lora_B.weight": torch.ones(32, 3)}),
        r"the rank of layers.0.self_attn.q_proj is 3 in its A and 3 in its B, and by adapter_config.json .* it is 4",
    ),
    "no one rank": (
        lambda held: held.update({f"{Q}.lora_B.weight": torch.ones(32, 3)}),
        "the rank of layers.0.self_attn.q_proj is 4 in its A and 3 in its B",
    ),
    "a layer more": (
        lambda held: held.update({name.replace("layers.0", "layers.7"): held[name].clone() for name in list(held)}),
        "adapts 'layers.7.self_attn.q_proj', which the base model does not have",
    ),
    "a wider base": (
        lambda held: held.update({f"{Q}.lora_A.weight": torch.ones(4, 48)}),
        r"layers.0.self_attn.q_proj.lora_A has shape \(4, 48\), and the base model .* needs \(4, 32\)",
    ),
    "a wider output": (
        lambda held: held.update({f"{Q}.lora_B.weight": torch.ones(40, 4)}),
        r"layers.0.self_attn.q_proj.lora_B has shape \(40, 4\), and the base model .* needs \(32, 4\)",
    ),
    "a wider head": (
        lambda held: held.update({HEAD: torch.ones(2, 48)}),
        r"score.weight has shape \(2, 48\), and the base model .* needs \(2, 32\)",
    ),
    "other classes": (
        lambda held: held.update({HEAD: torch.ones(3, 32)}),
        r"score.weight has shape \(3, 32\), .* needs \(2, 32\); was it trained on another base or with other classes",
    ),
    "another norm": (
        lambda held: held.update({name.replace("self_attn", "cross_attn"): held.pop(name) for name in list(held)}),
        "adapts 'layers.0.cross_attn.q_proj'",
    ),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_what_does_not_fit_the_base_is_refused(foreign, tmp_path, misfit):
    change, message = MISFITS[misfit]
    folder = copied(foreign["rank 4"], tmp_path)
    tensors(change)(folder)
    adapters = [read_adapter(foreign["all-linear"]), read_adapter(folder)]
    with pytest.raises(IntegrityError, match=message) as caught:
        ensemble_of(tiny_llama(), adapters, members=trained((0, 1)))
    assert str(caught.value).startswith(str(folder))


DISAGREEMENTS = {
    "fewer targets": {"target_modules": ["q_proj"]},
    "more targets": {"target_modules": ["q_proj", "v_proj", "k_proj"]},
    "other targets": {"target_modules": ["o_proj"]},
    "targets by expression": {"target_modules": ".*q_proj"},
    "targets of one layer": {"target_modules": ["layers.0.self_attn.q_proj", "layers.0.self_attn.v_proj"]},
    "all linear layers": {"target_modules": "all-linear"},
    "no such target": {"target_modules": ["nowhere"]},
    "no expression": {"target_modules": "*("},
    "one layer": {"layers_to_transform": [0]},
    "one layer by number": {"layers_to_transform": 1},
    "no such layer": {"layers_to_transform": [7]},
    "a pattern of another model": {"layers_to_transform": [0, 1], "layers_pattern": "h"},
    "a pattern without layers": {"layers_pattern": "layers"},
    "excluded": {"exclude_modules": ["v_proj"]},
    "excluded by expression": {"exclude_modules": r".*layers\.1.*"},
    "another rank": {"r": 8},
    "a rank a layer": {"rank_pattern": {"q_proj": 2}},
    "a module saved whole": {"modules_to_save": ["score", "embed_tokens"]},
    "a target saved whole": {"modules_to_save": ["score", "v_proj"]},
    "a list for a number": {"layers_to_transform": ["0"]},
}
"""Settings that other tensors belong to than those in the file."""

AGREEMENTS = {
    "nothing changed": {},
    "whole names": {"target_modules": ["self_attn.q_proj", "v_proj"]},
    "the same by expression": {"target_modules": r".*self_attn\.(q|v)_proj"},
    "the default of the type": {"target_modules": None},
    "both layers": {"layers_to_transform": [0, 1]},
    "both layers by their pattern": {"layers_to_transform": [0, 1], "layers_pattern": ["layers"]},
    "what is not there excluded": {"exclude_modules": ["lm_head"]},
    "another scale": {"lora_alpha": 16},
    "rank-stabilised": {"use_rslora": True},
    "a scale a layer": {"alpha_pattern": {"v_proj": 3}},
    "stored the other way round": {"fan_in_fan_out": True},
    "dropout": {"lora_dropout": 0.5},
    "no head named": {"modules_to_save": None},
    "a module that is not there": {"modules_to_save": ["score", "qa_outputs"]},
    "started otherwise": {"init_lora_weights": "gaussian"},
    "of an older version": {"peft_version": "0.5.0"},
}
"""Settings that belong to the same tensors; some of them change the logits."""


def with_settings(folder: Path, target: Path, changes: dict) -> Path:
    setting(**changes)(copied(folder, target))
    return target


@pytest.mark.parametrize("changes", DISAGREEMENTS)
def test_settings_that_peft_reads_otherwise_than_the_tensors_are_refused(foreign, tmp_path, changes):
    folder = with_settings(foreign["rank 4"], tmp_path, DISAGREEMENTS[changes])
    message = r"by its settings PEFT (does not read|wants) 'model\.|the rank of layers\.|PEFT cannot use it: "
    with pytest.raises(IntegrityError, match=message) as caught:
        ensemble_of(tiny_llama(), [read_adapter(folder)], members=trained((0,)))
    assert str(folder) in str(caught.value)


@pytest.mark.filterwarnings("ignore")  # peft's advice on settings
@pytest.mark.parametrize("changes", AGREEMENTS)
def test_settings_mean_what_they_mean_to_peft(base, foreign, tmp_path, changes):
    folder = with_settings(foreign["rank 4"], tmp_path, AGREEMENTS[changes])
    logits = our_logits(ensemble_of(tiny_llama(), [read_adapter(folder)], members=trained((0,))))[0]
    assert_close(logits, peft_logits(base, folder, classes=2))


@pytest.mark.filterwarnings("ignore:.* changes the base weights of the model and should thus:UserWarning")
@pytest.mark.parametrize("start", ["pissa", "pissa_niter_4", "olora"])
def test_the_advice_for_adapters_that_change_the_base_is_good(base, tmp_path, start):
    model = peft.get_peft_model(
        sequence_classifier(base, classes=2),
        peft.LoraConfig(
            task_type=peft.TaskType.SEQ_CLS, r=2, lora_alpha=4, target_modules=["q_proj"], init_lora_weights=start
        ),
    )
    model.save_pretrained(str(tmp_path / "start"))
    with torch.no_grad():
        for index, parameter in enumerate(each for each in model.parameters() if each.requires_grad):
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(index)), alpha=0.3)
    model.save_pretrained(str(tmp_path / "trained"))
    expected = classified(model.eval(), SEQUENCES)
    with pytest.raises(
        IntegrityError, match=r"save_pretrained\(NEW, path_initial_.*=START\).*without `lora_` in their"
    ):
        read_adapter(tmp_path / "trained")

    model.save_pretrained(str(tmp_path / "new"), path_initial_model_for_weight_conversion=str(tmp_path / "start"))
    with pytest.raises(IntegrityError, match="no classification head"):
        read_adapter(tmp_path / "new")
    head = {name: each for name, each in load_file(tmp_path / "trained" / WEIGHTS).items() if "lora_" not in name}
    save_file(load_file(tmp_path / "new" / WEIGHTS) | head, tmp_path / "new" / WEIGHTS, metadata={"format": "pt"})
    again = ensemble_of(tiny_llama(), [read_adapter(tmp_path / "new")], members=trained((0,)))
    assert_close(our_logits(again)[0], expected)

"""The base: found where the configuration says, loaded whole or refused with what to do."""

import json
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import huggingface_hub
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.models import base
from ensemble_uq_llm.models import base_files as files_of_bases
from ensemble_uq_llm.models.attention.packed import PACKED_ATTENTION
from ensemble_uq_llm.models.base import (
    find_base,
    load_decoder,
    load_skeleton,
    load_tokenizer,
)
from ensemble_uq_llm.models.base_files import base_files, digest_of
from ensemble_uq_llm.utils.files import sha256_of
from hub_content import tiny_llama_files
from hub_server import Repo, client_environment
from tiny_models import save_tiny_llama, tiny_llama

local_base = partial(find_base, revision=None, cache_dir=None)
CPU = torch.device("cpu")
CLIENT = """
import json, sys, time, warnings
from pathlib import Path
import torch
from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.models.base import find_base, load_decoder, load_tokenizer
import huggingface_hub  # its own import is not what is timed
answers = []
for asked in json.loads(sys.argv[1]):
    weights = asked.pop("weights", True)
    begin = time.perf_counter()
    try:
        cache = asked.get("cache_dir")
        name, revision = asked["model_name"], asked.get("model_revision")
        folder = find_base(name, revision=revision, cache_dir=cache and Path(cache), weights=weights)
        answer = {"folder": str(folder), "files": sorted(path.name for path in folder.iterdir())}
        if weights:
            decoder = load_decoder(folder, device=torch.device("cpu"), bf16=False)
            answer["sum"] = sum(each.double().abs().sum().item() for each in decoder.parameters())
            answer["tokens"] = load_tokenizer(folder).tokenizer("is it even")["input_ids"]
    except ModelError as error:
        answer = {"error": str(error)}
    answers.append(answer | {"seconds": time.perf_counter() - begin})
print(json.dumps(answers))
"""


def ask(environment: dict[str, str], cache: Path, *asked: dict) -> list[dict]:
    """Find and load bases in one process of its own, in turn; its hub settings are read at import."""
    everything = json.dumps([{"cache_dir": str(cache)} | each for each in asked])
    command = [sys.executable, "-c", CLIENT, everything]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """The folder of a model with its tokenizer."""
    folder = tmp_path_factory.mktemp("saved")
    for name, body in tiny_llama_files().items():
        (folder / name).write_bytes(body)
    return folder


@pytest.fixture
def copy(saved, tmp_path) -> Path:
    """A copy of `saved` that a test may spoil."""
    for path in saved.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def with_weights(files: dict[str, bytes], **more: bytes) -> dict[str, bytes]:
    return {name: body for name, body in files.items() if not name.endswith(".safetensors")} | more


def test_the_embedded_model_is_a_folder_of_this_package():
    folder = local_base("embedded")
    if not (folder / "config.json").exists():
        pytest.skip("the embedded model is not built yet")
    decoder = load_decoder(folder, device=CPU, bf16=True)
    assert decoder.config.vocab_size >= len(load_tokenizer(folder).tokenizer)


def test_a_local_folder_is_taken_as_it_is(saved, monkeypatch):
    assert local_base(str(saved)) == saved
    monkeypatch.setenv("HOME", str(saved.parent))
    assert local_base(f"~/{saved.name}") == saved


def test_a_folder_without_config_is_refused(tmp_path):
    with pytest.raises(ModelError, match=rf"model_name: {tmp_path} is a folder without config\.json"):
        local_base(str(tmp_path))


@pytest.mark.parametrize("name", ["/no/such/folder", "./nowhere", "../q0-q0-q0", "~/no-such-folder", "a/b/c"])
def test_a_path_that_is_not_there_is_not_asked_of_the_hub(name):
    message = rf"model_name: there is no folder {re.escape(name)}; give a hub name, a model folder, or `embedded`"
    with pytest.raises(ModelError, match=message):
        local_base(name)


def test_a_gguf_file_that_is_not_in_its_folder_is_not_asked_of_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("base/model").mkdir(parents=True)
    Path("base/model/a.Q4_0.gguf").touch()
    with pytest.raises(ModelError, match=r"there is no file base/model/a\.Q4_1\.gguf; did you mean 'a\.Q4_0\.gguf'\?"):
        local_base("base/model/a.Q4_1.gguf")


def test_a_gguf_file_that_is_nowhere_is_said_not_to_be_here(hub, tmp_path):
    """`base/model/file.gguf` may be a path as well as a file on the hub."""
    hub.repos["model", "tests/files"] = Repo(kind="model", name="tests/files", files={"a.gguf": b"GGUF"})
    cache = tmp_path / "cache"
    names = ("base/model/a.gguf", "tests/files/b.gguf", "tests/files/*.gguf", "tests/files")
    unknown, absent, pattern, folder = ask(
        hub.environment(tmp_path / "home"), cache, *({"model_name": name} for name in names)
    )
    offline = hub.environment(tmp_path / "home") | {"HF_HUB_OFFLINE": "1"}
    (first,) = ask(offline, cache, {"model_name": "base/model/a.gguf"})

    here = "there is no file {} here"
    assert f"{here.format(names[0])}, and of the hub: 'base/model' is neither" in unknown["error"]
    assert f"{here.format(names[0])}, and of the hub: 'base/model' is not in the cache" in first["error"]
    assert f"{here.format(names[1])}, and none 'b.gguf' in 'tests/files' on the hub" in absent["error"]
    assert f"{here.format(names[2])}, and none '*.gguf'" in pattern["error"]
    assert "name one of them as tests/files/file.gguf" in folder["error"]
    assert not any(each.startswith("GET") and each.endswith(".gguf") for each in hub.requests)


def test_the_hub_gives_a_model_once_and_says_why_not(hub, tmp_path):
    complete = tiny_llama_files()
    for name, files in {
        "tests/pickled": with_weights(complete, **{"pytorch_model.bin": b"\x80\x04."}),
        "tests/weightless": with_weights(complete),
        "tests/without-tokenizer": {name: complete[name] for name in ("config.json", "model.safetensors")},
    }.items():
        hub.repos["model", name] = Repo(kind="model", name=name, files=files)
    cache = tmp_path / "cache"
    small, first, second, gated, unknown, invalid, pickled, weightless, mute = ask(
        hub.environment(tmp_path / "home"),
        cache,
        {"model_name": "tests/tiny-llama", "weights": False},
        {"model_name": "tests/tiny-llama"},
        {"model_name": "tests/tiny-llama"},
        {"model_name": "meta-llama/gated"},
        {"model_name": "nobody/nothing"},
        {"model_name": "no spaces/allowed!"},
        {"model_name": "tests/pickled"},
        {"model_name": "tests/weightless"},
        {"model_name": "tests/without-tokenizer"},
    )
    assert small["files"] == ["config.json", "tokenizer.json", "tokenizer_config.json"]
    assert first["files"] == sorted(complete)
    assert Path(first["folder"]).is_relative_to(cache)
    assert {**first, "seconds": 0} == {**second, "seconds": 0}
    weights = load_file(Path(first["folder"]) / "model.safetensors").values()
    assert first["sum"] == pytest.approx(sum(each.double().abs().sum().item() for each in weights))
    assert first["tokens"][0] == 0
    assert len(first["tokens"]) > 1
    bodies = [each for each in hub.requests if each.startswith("GET") and each.endswith("model.safetensors")]
    assert sum("tests/tiny-llama" in each for each in bodies) == 1
    for answer, message in (
        (
            gated,
            rf"'meta-llama/gated' is gated: accept its licence on {hub.endpoint}/meta-llama/gated, "
            "then run `hf auth login` or set HF_TOKEN",
        ),
        (unknown, "'nobody/nothing' is neither a folder here nor a model on the hub; check the name"),
        (invalid, "'no spaces/allowed!' is neither a folder here nor a valid hub name such as meta-llama/"),
        (
            pickled,
            r"no model\.safetensors and no .*index\.json in .*; weights in pickle files are never read",
        ),
        (weightless, r"no model\.safetensors and no model\.safetensors\.index\.json in "),
        (mute, "no usable tokenizer in "),
    ):
        assert re.search(rf"^model_name: {message}", answer["error"])
    assert not any("pytorch_model.bin" in each and each.startswith("GET") for each in hub.requests)


def test_a_connection_that_breaks_and_one_that_is_not_there(hub, tmp_path):
    environment, cache = hub.environment(tmp_path / "home"), tmp_path / "cache"
    hub.cut_in = "model.safetensors"
    [broken] = ask(environment, cache, {"model_name": "tests/tiny-llama"})
    assert re.match(
        r"model_name: 'tests/tiny-llama' could not be downloaded \(\w+: .+\); run the same", broken["error"]
    )
    assert re.search("give the folder of a local copy, or `embedded` for the model that ships", broken["error"])
    assert broken["seconds"] < 30

    hub.come_back()
    [whole] = ask(environment, cache, {"model_name": "tests/tiny-llama"})
    assert (Path(whole["folder"]) / "model.safetensors").read_bytes() == tiny_llama_files()["model.safetensors"]

    unreachable = client_environment("http://127.0.0.1:9", tmp_path / "home")
    cached, absent = ask(unreachable, cache, {"model_name": "tests/tiny-llama"}, {"model_name": "google/absent"})
    assert {**cached, "seconds": 0} == {**whole, "seconds": 0}
    assert re.fullmatch(
        rf"model_name: 'google/absent' is not in the cache \({cache}\), and http://127.0.0.1:9 does not answer: .*; "
        "connect to download it, or give the folder of a local copy, or `embedded` for the model that ships .*",
        absent["error"],
    )
    assert absent["seconds"] < 5


def test_offline_mode_is_named_as_the_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    message = rf"'google/absent' is not in the cache \({tmp_path}\), and HF_HUB_OFFLINE is set; connect to download it"
    with pytest.raises(ModelError, match=message):
        find_base("google/absent", revision=None, cache_dir=tmp_path)


def test_a_silent_hub_is_not_asked_again(monkeypatch, tmp_path):
    asked = []
    (tmp_path / "config.json").touch()
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **how: asked.append(how) or tmp_path)
    for silence in ("nobody answers", None):
        monkeypatch.setattr(base, "why_hub_is_silent", lambda silence=silence: silence)
        assert local_base("google/absent") == tmp_path
    assert [how["local_files_only"] for how in asked] == [True, False]


@pytest.mark.parametrize(("bf16", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_a_decoder_is_frozen_packed_and_of_one_dtype(tmp_path, bf16, dtype):
    decoder = load_decoder(save_tiny_llama(tmp_path), device=CPU, bf16=bf16)
    assert {each.dtype for each in decoder.parameters()} == {dtype}
    assert not any(each.requires_grad for each in decoder.parameters())
    assert not decoder.training
    assert decoder.config._attn_implementation == PACKED_ATTENTION
    expected = tiny_llama().to(dtype).state_dict()
    assert decoder.state_dict().keys() == expected.keys()
    assert all(torch.equal(each, expected[name]) for name, each in decoder.state_dict().items())


def without_one_weight(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def with_another_shape(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"] = torch.ones(5)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def as_a_torn_download(folder: Path) -> None:
    body = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(body[: len(body) // 2])


def without_a_shard(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    names = load_file(folder / "model-00001-of-00002.safetensors")
    shards = dict.fromkeys(names, "model-00001-of-00002.safetensors")
    shards["model.norm.weight"] = "model-00002-of-00002.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": shards}))


def as_pickle(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without_one_weight, r"lacks weights: layers\.1\.mlp\.up_proj\.weight \(1 in all\)"),
        (with_another_shape, r"model\.norm\.weight in .* has shape \(5,\), and by the sizes in .* should have \(16,\)"),
        (as_a_torn_download, r"model\.safetensors cannot be read: .*; get it again"),
        (without_a_shard, r"index\.json names 1 file that is not there: 'model-00002-of-00002\.safetensors'; copy or"),
        (
            as_pickle,
            r"no model\.safetensors and no .*index\.json in .*; weights in pickle files are never read",
        ),
        (lambda folder: (folder / "model.safetensors").unlink(), r"no model\.safetensors and no .*index\.json in "),
        (lambda folder: (folder / "config.json").write_text("{"), "the configuration in .* cannot be used: "),
        (
            lambda folder: (folder / "config.json").write_text('{"model_type": "tomorrow"}'),
            "model_type 'tomorrow' in .* is none that transformers .* has",
        ),
    ],
    ids=["weight missing", "shape", "torn", "shard missing", "pickle", "no weights", "config torn", "unknown type"],
)
def test_a_model_that_is_not_whole_is_refused(copy, spoil, message):
    spoil(copy)
    with pytest.raises(ModelError, match=rf"model_name: .*{message}") as caught:
        load_decoder(copy, device=CPU, bf16=False)
    assert str(copy) in str(caught.value)


OTHER_KINDS = {
    "gpt2": (transformers.GPT2Config(n_layer=1, n_embd=8, n_head=2, vocab_size=9), "gpt2 is not among the model types"),
    "bert": (
        transformers.BertConfig(
            num_hidden_layers=1, hidden_size=8, num_attention_heads=2, intermediate_size=8, vocab_size=9
        ),
        "bert is not among the model types",
    ),
    "t5": (
        transformers.T5Config(num_layers=1, d_model=8, d_ff=8, num_heads=2, d_kv=4, vocab_size=9),
        "t5 is an encoder-decoder",
    ),
}


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_models_of_another_kind_are_refused(tmp_path, kind):
    config, message = OTHER_KINDS[kind]
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=f"model_name: {message}"):
        load_decoder(tmp_path, device=CPU, bf16=False)
    with pytest.raises(ModelError, match=f"model_name: {message}"):
        load_skeleton(tmp_path, bf16=False)


def test_a_skeleton_is_the_decoder_without_its_weights(saved):
    skeleton, decoder = load_skeleton(saved, bf16=True), load_decoder(saved, device=CPU, bf16=True)
    assert {each.device.type for each in skeleton.parameters()} == {"meta"}
    shapes = [{name: (each.shape, each.dtype) for name, each in m.named_parameters()} for m in (skeleton, decoder)]
    assert shapes[0] == shapes[1]


def test_a_model_that_reads_no_texts_is_named(copy):
    (copy / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(ModelError, match=r"model_name: vit has no vocabulary \(vocab_size\), so it reads no texts"):
        load_tokenizer(copy)


@pytest.mark.parametrize("text", [None, "{", "{}"])
def test_a_tokenizer_that_is_not_there_is_named(copy, text):
    (copy / "tokenizer_config.json").unlink()
    (copy / "tokenizer.json").unlink()
    if text is not None:
        (copy / "tokenizer.json").write_text(text)
    with pytest.raises(ModelError, match=rf"model_name: no usable tokenizer in {copy}: "):
        load_tokenizer(copy)


def flip_last_byte(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[-1] ^= 1
    path.write_bytes(body)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_the_digest_changes_with_every_byte_that_counts(saved, copy, name):
    assert digest_of(base_files(copy)) == digest_of(base_files(saved))
    (copy / "README.md").write_text("says nothing about the model")
    assert digest_of(base_files(copy)) == digest_of(base_files(saved))
    flip_last_byte(copy / name)
    assert digest_of(base_files(copy)) != digest_of(base_files(saved))
    flip_last_byte(copy / name)
    (copy / name).rename(copy / f"other-{name}")
    assert digest_of(base_files(copy)) != digest_of(base_files(saved))


def test_the_digest_of_the_hubs_cache_is_that_of_a_plain_copy(saved, copy, monkeypatch):
    weights = copy / "model.safetensors"
    blob = copy / "blobs" / sha256_of(weights)
    blob.parent.mkdir()
    weights.rename(blob)
    weights.symlink_to(blob)
    read = []
    monkeypatch.setattr(files_of_bases, "sha256_of", lambda path: read.append(path.name) or _real_sha256(path))
    assert digest_of(base_files(copy)) == digest_of(base_files(saved))
    assert read.count("model.safetensors") == 1, "a blob's name is its digest, so only the plain copy is read"


_real_sha256 = sha256_of

"""The settings of tokenizers: those of every known kind pass, and what makes anything else is refused by name."""

import json
from pathlib import Path

import pytest
from tokenizers import Regex, Tokenizer, normalizers
from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.models.base import load_tokenizer
from ensemble_uq_llm.models.checks.families import PROVEN
from ensemble_uq_llm.models.checks.tokenizer_files import check_growth, check_tokenizer_settings
from hub_content import tiny_llama_files, tiny_tokenizer_json

NAMES = sorted({name for kind in PROVEN if (name := TOKENIZER_MAPPING_NAMES.get(kind))})
USUAL = (*NAMES, "PreTrainedTokenizerFast", "PreTrainedTokenizer", "TokenizersBackend", "LlamaTokenizerFast")


@pytest.fixture
def base(tmp_path) -> Path:
    for name, body in tiny_llama_files().items():
        (tmp_path / name).write_bytes(body)
    return tmp_path


def changed(folder: Path, **changes) -> Path:
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


@pytest.mark.parametrize("name", [*USUAL, "ATokenizerThatIsNotThere"])
def test_every_usual_class_is_a_fast_tokenizer(base, name):
    check_tokenizer_settings(changed(base, tokenizer_class=name), None)
    check_tokenizer_settings(base, name)


@pytest.mark.parametrize("name", ["AutoProcessor", "AutoTokenizer", "AutoModel", "LlamaModel", "Trainer", "logging"])
@pytest.mark.parametrize("place", ["tokenizer_config.json", "config.json"])
def test_anything_else_that_transformers_has_is_refused(base, name, place):
    named = name if place == "config.json" else None
    if named is None:
        changed(base, tokenizer_class=name)
    with pytest.raises(ModelError, match=rf"tokenizer_class in .*/{place} is '{name}', which is no fast tokenizer"):
        check_tokenizer_settings(base, named)


REFUSED = {
    "tokenizer_class in .* must be a name, found 5": {"tokenizer_class": 5},
    "is 'BertJapaneseTokenizer', which is no fast tokenizer": {"tokenizer_class": "BertJapaneseTokenizer"},
    "init_inputs in .* is not supported": {"init_inputs": ["a"]},
    "gguf_file in .* is not supported": {"gguf_file": "../a.gguf"},
    "tokenizer_object in .* is not supported": {"tokenizer_object": "a"},
    "fast_tokenizer_files in .* must be a list of files beside it": {"fast_tokenizer_files": ["../tokenizer.1.0.json"]},
    "added_tokens_decoder in .* must have numbers": {"added_tokens_decoder": {"999999999999": {"content": "a"}}},
    "added_tokens_decoder in .* must have numbers of": {"added_tokens_decoder": {"-1": {"content": "a"}}},
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_leads_elsewhere_is_refused(base, reason):
    with pytest.raises(ModelError, match=f"^model_name: .*{reason}"):
        load_tokenizer(changed(base, **REFUSED[reason]))


def test_settings_of_older_versions_pass(base):
    changed(base, init_inputs=[], fast_tokenizer_files=["tokenizer.json"], special_tokens_map_file="/home/a/map.json")
    assert load_tokenizer(base).tokenizer("is it even")["input_ids"]


GROWING = {
    "tenfold, thrice": normalizers.Sequence([normalizers.Replace("a", "a" * 10)] * 3),
    "at once": normalizers.Replace(Regex("."), "b" * 101),
    "before": normalizers.Prepend("c" * 1000),
    "nested": normalizers.Sequence([normalizers.Sequence([normalizers.Replace("a", "a" * 11)] * 2)]),
}
USUAL_NORMALISERS = [
    None,
    normalizers.NFKC(),
    normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]),
    normalizers.Replace(Regex(r"\s+"), " "),
]


@pytest.mark.parametrize("name", GROWING)
def test_texts_are_not_blown_up(base, name):
    tokenizer = Tokenizer.from_str(tiny_tokenizer_json())
    tokenizer.normalizer = GROWING[name]
    tokenizer.save(str(base / "tokenizer.json"))
    with pytest.raises(ModelError, match=r"the normalizer in .*tokenizer\.json makes texts over 100 times longer"):
        load_tokenizer(base)


@pytest.mark.parametrize("normaliser", USUAL_NORMALISERS, ids=repr)
def test_usual_normalisers_pass(tmp_path, normaliser):
    tokenizer = Tokenizer.from_str(tiny_tokenizer_json())
    tokenizer.normalizer = normaliser
    check_growth(tmp_path, tokenizer)


@pytest.mark.parametrize(
    "normaliser", [normalizers.Replace("", "x"), normalizers.Replace(Regex("(a+)+$"), "x")], ids=repr
)
def test_a_tokenizer_that_fails_on_a_plain_text_is_named(base, normaliser):
    tokenizer = Tokenizer.from_str(tiny_tokenizer_json())
    tokenizer.normalizer = normaliser
    tokenizer.save(str(base / "tokenizer.json"))
    with pytest.raises(ModelError, match=r"no usable tokenizer in .*: (index out of bounds|Onig: Regex search error)"):
        load_tokenizer(base)

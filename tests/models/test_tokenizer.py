"""Which token's state is read: transformers' rule, for every way in which padding can end a prompt."""

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, processors
from transformers import PreTrainedTokenizerFast

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.example import Example
from ensemble_uq_llm.data.prepare import tokenize
from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.member import trained
from ensemble_uq_llm.models.base import load_decoder, load_tokenizer
from ensemble_uq_llm.models.ensemble import StackedEnsemble
from ensemble_uq_llm.models.logits import member_logits
from hub_content import tiny_tokenizer_json
from tiny_models import assert_close, peft_member, randomise, save_tiny_llama, spec

END = "<|im_end|>"
TEXTS = ("is it even", "", f"two {END} parts", f"{END} first", f"{END}{END}", "a longer text than the others are")
TEMPLATES = {
    "plain": "{text}",
    "ends in padding": f"Question: {{text}}{END}",
    "ends in padding twice": f"{{text}}{END}{END}",
    "padding alone": f"{END}{{text}}{END}",
    "padding and a line": f"{{text}}{END}\n",
}


def base_with(folder: Path, *, pad: int | None, appends: bool, begins: bool = True) -> Path:
    """Write a tiny base with a tokenizer that knows END, and begins or ends each text with special tokens, or not."""
    tokenizer = Tokenizer.from_str(tiny_tokenizer_json())
    tokenizer.add_special_tokens([END])
    end, begin = tokenizer.token_to_id(END), tokenizer.token_to_id("<s>")
    single = f"{'<s> ' if begins else ''}$A{f' {END}' if appends else ''}"
    tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=[("<s>", begin), (END, end)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token=END, pad_token=END)
    fast.save_pretrained(folder)
    save_tiny_llama(folder, vocab_size=len(fast), pad_token_id=end if pad is None else pad)
    if pad is None:
        return folder
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pad_token_id": None if pad < 0 else pad}))
    return folder


def ours_and_theirs(
    folder: Path, template: str, *, appends: bool = False, ends: bool = False
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Return one member's logits by us, by peft of each text alone, and by peft of a padded batch if it can be had."""
    config = Config(model_name=str(folder), prompt_template=template, append_eos=ends, use_bf16=False)
    examples = [Example(id=str(index), fields={"text": text}) for index, text in enumerate(TEXTS)]
    tokenizer = load_tokenizer(folder)
    decoder = load_decoder(folder, device=torch.device("cpu"), bf16=False)
    ensemble = randomise(StackedEnsemble(decoder, spec=spec(decoder=decoder), members=trained((42, 43))))
    tokens = tokenize(config, examples, tokenizer)
    ours = torch.from_numpy(member_logits(ensemble, tokens.sequences, budget=10_000)[1])
    model = peft_member(folder, ensemble, 1, targets=("q_proj", "v_proj"), rank=4, alpha=8)
    prompts = [template.format(text=text) for text in TEXTS]
    begin = tokenizer.tokenizer.bos_token_id
    each_ids = [list(ids) for ids in tokenizer.tokenizer(prompts)["input_ids"]]
    if appends and not ends:  # nobody asked for that token
        each_ids = [ids[:-1] for ids in each_ids]
    ids = [ids or [begin] for ids in each_ids]
    with torch.no_grad():
        alone = torch.cat([model(input_ids=torch.tensor([each])).logits for each in ids])
        if tokenizer.pad_token is None:
            return ours, alone, None
        longest = max(map(len, ids))
        batch = torch.tensor([each + [tokenizer.pad_token] * (longest - len(each)) for each in ids])
        mask = torch.tensor([[1] * len(each) + [0] * (longest - len(each)) for each in ids])
        return ours, alone, model(input_ids=batch, attention_mask=mask).logits


@pytest.mark.parametrize("begins", [True, False], ids=["begins", "bare"])
@pytest.mark.parametrize("appends", [False, True], ids=["", "appends"])
@pytest.mark.parametrize("template", TEMPLATES)
def test_logits_equal_those_of_transformers_and_peft_where_the_end_token_pads(tmp_path, template, appends, begins):
    folder = base_with(tmp_path, pad=None, appends=appends, begins=begins)
    ours, alone, together = ours_and_theirs(folder, TEMPLATES[template], appends=appends)
    assert_close(ours, alone)
    assert_close(ours, together)


@pytest.mark.parametrize("pad", [-1, 0, 7], ids=["none", "begin of text", "a letter"])
@pytest.mark.parametrize("template", TEMPLATES)
def test_it_is_the_bases_padding_that_counts_and_not_the_tokenizers(tmp_path, template, pad):
    folder = base_with(tmp_path, pad=pad, appends=True)
    ours, alone, together = ours_and_theirs(folder, TEMPLATES[template], appends=True, ends=True)
    assert_close(ours, alone)
    assert (together is None) == (pad < 0)
    if together is not None:
        assert_close(ours, together)


def test_the_padding_makes_a_difference(tmp_path):
    """What the tests above compare would be no proof if the rule changed nothing."""
    padding = ours_and_theirs(
        base_with(tmp_path / "a", pad=None, appends=True), TEMPLATES["ends in padding"], appends=True
    )[0]
    plain = ours_and_theirs(
        base_with(tmp_path / "b", pad=-1, appends=True), TEMPLATES["ends in padding"], appends=True
    )[0]
    assert ((padding - plain).abs().amax(1) > 0.01).all()


def test_an_end_token_that_nobody_asked_for_is_left_out(tmp_path):
    """The same logits as of the same tokenizer without it; asked for, they are others."""
    appends = base_with(tmp_path / "a", pad=-1, appends=True)
    plain = base_with(tmp_path / "b", pad=-1, appends=False)
    asked, bare = ({"appends": True, "ends": ends} for ends in (True, False))
    assert_close(*(ours_and_theirs(folder, "{text}", **bare)[0] for folder in (appends, plain)))
    assert_close(*(ours_and_theirs(folder, "{text}", **asked)[0] for folder in (appends, plain)))
    ended, not_ended = (ours_and_theirs(plain, "{text}", **each)[0] for each in (asked, bare))
    assert ((ended - not_ended).abs().amax(1) > 0.01).all()


def test_an_end_that_is_padding_or_not_there_is_refused(tmp_path):
    folder = base_with(tmp_path / "a", pad=None, appends=False)
    with pytest.raises(ConfigError, match=r"calls its end-of-text token '<\|im_end\|>' padding"):
        ours_and_theirs(folder, "{text}", ends=True)
    tokenizer = load_tokenizer(folder)
    tokenizer.tokenizer.eos_token = None
    with pytest.raises(ConfigError, match="append_eos: the base's tokenizer has no end-of-text token"):
        tokenize(Config(append_eos=True), [Example(id="a", fields={"text": "b"})], tokenizer)

"""Special tokens around a prompt: a beginning as the tokenizer has it, an end only when it is asked for."""

import warnings

import pytest

from ensemble_uq_llm.data.example import Example
from ensemble_uq_llm.data.prompting.frame import PLAIN, Frame, encode
from ensemble_uq_llm.data.tokenize import tokenize_examples
from hub_content import tiny_tokenizer_json


def tokenizer_with(single: str):
    """Return a tokenizer that puts what `single` says around a text, `$A`."""
    from tokenizers import Tokenizer, processors
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer.from_str(tiny_tokenizer_json())
    specials = [(token, backend.token_to_id(token)) for token in ("<s>", "</s>")]
    backend.post_processor = processors.TemplateProcessing(single=single, special_tokens=specials)
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>")


def tokens(tokenizer, text, frame=PLAIN, template="{text}", max_length=100):
    example = Example(id="0", fields={"text": text})
    found = tokenize_examples([example], tokenizer=tokenizer, template=template, max_length=max_length, frame=frame)
    return tokenizer.convert_ids_to_tokens(found.sequences[0])


@pytest.mark.parametrize("single", ["$A", "<s> $A", "$A </s>", "<s> $A </s>"])
@pytest.mark.parametrize("text", ["is it so", "", "</s>", "so </s>", "a" * 300])
def test_the_end_is_there_if_it_is_asked_for_and_only_then(single, text):
    tokenizer = tokenizer_with(single)
    bare = tokenizer(text, add_special_tokens=False)["input_ids"]
    begin = [tokenizer.bos_token_id] * single.startswith("<s>")
    end = tokenizer.eos_token_id

    assert encode(tokenizer, [text])["input_ids"] == [begin + bare]
    assert encode(tokenizer, [text], frame=Frame(ends=True))["input_ids"] == [[*begin, *bare, end]]
    offsets = encode(tokenizer, [text], offsets=True, frame=Frame(ends=True))
    assert len(offsets["offset_mapping"][0]) == len(offsets["input_ids"][0])


@pytest.mark.parametrize("single", ["<s> $A", "<s> $A </s>"])
@pytest.mark.parametrize("ends", [False, True])
def test_a_cut_prompt_has_as_many_tokens_as_fit_and_its_end(single, ends):
    found = tokens(tokenizer_with(single), "is it so " * 40, Frame(ends=ends), "{text} Answer:", max_length=30)

    assert len(found) == 30
    assert found[0] == "<s>"
    assert (found[-1] == "</s>") is ends
    assert found[-2 if ends else -1] == ":"


def test_a_tokenizer_whose_beginning_is_its_end_keeps_its_beginning():
    tokenizer = tokenizer_with("<s> $A")
    tokenizer.eos_token = "<s>"

    assert encode(tokenizer, ["is"])["input_ids"][0][0] == tokenizer.bos_token_id
    assert encode(tokenizer, [""])["input_ids"] == [[tokenizer.bos_token_id]]


def test_two_beginnings_are_warned_of():
    with pytest.warns(
        UserWarning, match=r"prompt_template: 1 prompt of 1 begin with two begin-of-text tokens \('<s>'\)"
    ):
        assert tokens(tokenizer_with("<s> $A"), "is it", template="<s>{text}")[:2] == ["<s>", "<s>"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tokens(tokenizer_with("<s> $A"), "is it")[:2].count("<s>") == 1
        assert tokens(tokenizer_with("$A"), "is it", template="<s>{text}")[:2].count("<s>") == 1
        chat = Frame(before="<s>", is_chat=True)
        assert tokens(tokenizer_with("<s> $A"), "is it", chat)[:2].count("<s>") == 1

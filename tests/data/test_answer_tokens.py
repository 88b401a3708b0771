"""Which token an answer is, after the prompt, and the answers that are not one."""

import re
import warnings

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.answer_tokens import answer_token_ids
from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.models.tokenizer import BaseTokenizer

CUE = "Question: {question} Answer:"
WORDS = (" yes", " no", "yes", "Yes", " Yes", "A", "B", " A")


def tokenizer(*, words=WORDS, embeddings=10_000, ends: bool = False) -> BaseTokenizer:
    """Bytes that merge into some whole words, as those of a language model do."""
    spelled = [re.sub(" ", "Ġ", word) for word in words]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = dict.fromkeys([*letters, *(word[:end] for word in spelled for end in range(2, len(word) + 1))])
    merges = dict.fromkeys((word[: end - 1], word[end - 1]) for word in spelled for end in range(2, len(word) + 1))
    vocabulary = {piece: index for index, piece in enumerate([*pieces, "</s>"])}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=list(merges)))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    if ends:
        inner.post_processor = processors.TemplateProcessing(
            single="$A </s>", special_tokens=[("</s>", vocabulary["</s>"])]
        )
    made = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="</s>")
    return BaseTokenizer(tokenizer=made, embeddings=embeddings, pad_token=None)


def ids(base: BaseTokenizer, *pieces: str) -> tuple[int, ...]:
    return tuple(base.tokenizer.convert_tokens_to_ids(list(pieces)))


def config(**keys) -> Config:
    return Config(**{"head": "answer", "prompt_template": CUE, "class_names": ("no", "yes")} | keys)


def test_they_are_those_in_context_in_the_order_of_the_classes():
    base = tokenizer()
    assert answer_token_ids(config(), base) == ids(base, "Ġno", "Ġyes")
    assert answer_token_ids(config(class_names=("yes", "no")), base) == ids(base, "Ġyes", "Ġno")
    assert answer_token_ids(config(answers=("yes", "A")), base) == ids(base, "yes", "A")


def test_there_are_none_for_a_trained_head():
    assert answer_token_ids(Config(), tokenizer()) is None


def test_an_end_that_the_tokenizer_puts_behind_every_text_is_no_part_of_them():
    base = tokenizer(ends=True)
    assert answer_token_ids(config(), base) == ids(base, "Ġno", "Ġyes")


def test_one_that_is_several_tokens_is_shown_with_its_pieces_and_others_that_would_do():
    with pytest.raises(ConfigError) as caught:
        answer_token_ids(config(class_names=("maybe", "yes")), tokenizer(words=("A", "B", " yes")))
    message = str(caught.value)
    assert "' maybe' is ['Ġ', 'm', 'a', 'y', 'b', 'e']; give others with the key answers, such as ['A', 'B']" in message
    assert "' yes'" not in message
    assert answer_token_ids(config(answers=("A", "B")), tokenizer(words=("A", "B", " yes")))


def test_many_that_are_several_tokens_are_counted():
    with pytest.raises(ConfigError, match=r"and 3 others; give others with the key answers, such as \['A', 'B', "):
        answer_token_ids(config(class_names=tuple(f"class {n}" for n in range(8))), tokenizer(words=()))


def test_two_that_are_one_token_are_refused():
    base = tokenizer()
    base.tokenizer.backend_tokenizer.normalizer = __import__("tokenizers").normalizers.Lowercase()
    with pytest.raises(ConfigError, match=r"'Yes' and 'yes' are one and the same token after the prompt, \['yes'\]"):
        answer_token_ids(config(answers=("Yes", "yes")), base)


def test_one_that_melts_into_the_prompt_is_refused_and_the_advice_works():
    base = tokenizer()
    with pytest.raises(ConfigError, match=r"'yes' changes the tokens of the prompt .* \['r', ':', 'Ġ'\] becomes"):
        answer_token_ids(config(prompt_template=f"{CUE} ", answers=("yes", "no")), base)
    assert answer_token_ids(config(prompt_template=CUE, answers=(" yes", " no")), base)


def test_those_that_depend_on_the_row_before_them_are_refused_and_the_advice_works():
    base = tokenizer(words=("A", "B", "tA"))
    with pytest.raises(ConfigError, match=r"'A' changes the tokens of the prompt that it follows"):
        answer_token_ids(config(prompt_template="{question}", answers=("A", "B")), base)
    assert answer_token_ids(config(prompt_template="{question} Answer:", answers=("A", "B")), base)


def test_one_that_the_base_does_not_have_is_refused():
    base = tokenizer(embeddings=100)
    with pytest.raises(
        ConfigError, match=r"the token of ' no' has the id \d+, and the base's ids end at 99; use the m"
    ):
        answer_token_ids(config(), base)


def test_of_an_answer_of_many_pieces_the_first_are_shown():
    with pytest.raises(
        ConfigError, match=r"' abcdefghijkl' is \['Ġ', 'a', 'b', 'c', 'd', 'e', 'f', 'g'\] and 5 more; "
    ):
        answer_token_ids(config(answers=(" abcdefghijkl", " no")), tokenizer())


def test_names_without_the_space_with_which_replies_begin_are_warned_of_and_the_advice_works():
    base = tokenizer(words=(" yes", " no", "yes", "no"))
    base.tokenizer.chat_template = (
        "{% for message in messages %}{% if message['role'] == 'user' %}{{ '[' + message['content'] + ']' }}"
        "{% else %}{{ ' ' + message['content'] }}{% endif %}{% endfor %}"
    )
    with pytest.warns(UserWarning, match=r"begins replies with ' ', and .*; set answers: \[' no', ' yes'\]$"):
        assert answer_token_ids(config(chat_template=True), base) == ids(base, "no", "yes")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert answer_token_ids(config(chat_template=True, answers=(" no", " yes")), base) == ids(base, "Ġno", "Ġyes")
        few = tokenizer(words=("yes", "no"))
        few.tokenizer.chat_template = base.tokenizer.chat_template
        assert answer_token_ids(config(chat_template=True), few) == ids(few, "no", "yes"), "no better answers to set"

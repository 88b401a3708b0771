import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ensemble_uq_llm.data.example import Example
from ensemble_uq_llm.data.reading.columns import Columns
from ensemble_uq_llm.data.reading.data_files import read_examples
from ensemble_uq_llm.data.tokenize import UNLABELLED, tokenize_examples
from ensemble_uq_llm.errors import ConfigError, DataError
from hub_content import tiny_tokenizer_json

TEMPLATE = "Question: {question} Context: {passage}"
FUZZ = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
TEXT = st.text(st.characters(codec="utf-8"), max_size=40)


@pytest.fixture(scope="module")
def tiny():
    return tokenizer_of(tiny_tokenizer_json())


def tokenizer_of(text, **special):
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    special = {"bos_token": "<s>", "eos_token": "</s>"} | special
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(text), **special)


def without_special_tokens(text):
    from tokenizers import Tokenizer, processors

    tokenizer = Tokenizer.from_str(text)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer.to_str()


class WithoutOffsets:
    """A tokenizer that cannot tell its offsets, like the ones written in Python."""

    is_fast = False
    bos_token_id = 0
    eos_token_id = None

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    def __call__(self, *args, **options):
        assert "return_offsets_mapping" not in options
        return self.tokenizer(*args, **options)


def boolq(question, passage, **more):
    return Example(id=more.pop("id", "0"), fields={"question": question, "passage": passage}, **more)


def tokens_of(example, tokenizer, max_length, template=TEMPLATE, **more):
    found = tokenize_examples([example], tokenizer=tokenizer, template=template, max_length=max_length, **more)
    return found.sequences[0].tolist()


def test_what_fits_is_as_the_tokenizer_says(tiny):
    examples = [boolq("is it", "It is.", label=1, id="a"), boolq("", "", id="b"), boolq("ä😀", "\n\t", id="c", label=0)]
    found = tokenize_examples(examples, tokenizer=tiny, template=TEMPLATE, max_length=100)
    expected = [tiny(TEMPLATE.format(**example.fields))["input_ids"] for example in examples]
    assert [tokens.tolist() for tokens in found.sequences] == expected
    assert found.tokens_T.dtype == np.int32
    assert found.tokens_T.tolist() == [token for tokens in expected for token in tokens]
    assert found.lengths_N.tolist() == [len(each) for each in expected]
    assert (found.ids, found.labels_N.tolist()) == (("a", "b", "c"), [1, UNLABELLED, 0])
    assert (len(found), found.num_cut) == (3, 0)


def test_what_is_too_long_loses_the_end_of_the_passage(tiny):
    example = boolq("is the number odd", "The number 3 is odd. " * 50)
    found = tokenize_examples([example], tokenizer=tiny, template=TEMPLATE + " Answer:", max_length=64)
    text = tiny.decode(found.sequences[0], skip_special_tokens=True)
    assert found.num_cut == 1
    assert len(found.sequences[0]) == 64
    assert text.startswith("Question: is the number odd Context: The number 3 is odd. The")
    assert text.endswith(" Answer:")
    assert found.describe() == "1 prompts of 64 tokens on average, 64 at most, 1 cut (100.0%)"


@FUZZ
@given(question=TEXT, passage=TEXT, after=st.sampled_from(["", " Answer:", "{question}"]), room=st.integers(0, 30))
def test_no_prompt_is_too_long_and_none_loses_its_question(tiny, question, passage, after, room):
    for tokenizer in (tiny, WithoutOffsets(tiny)):
        template = TEMPLATE + after
        shortest = template.format(question=question, passage="")
        max_length = len(tiny(shortest)["input_ids"]) + room
        tokens = tokens_of(boolq(question, passage), tokenizer, max_length, template)
        whole = tiny(template.format(question=question, passage=passage))["input_ids"]
        text = tiny.decode(tokens, skip_special_tokens=False).removeprefix("<s>")
        assert len(tokens) <= max_length
        assert tokens == whole or len(whole) > max_length
        before, end = template.split("{passage}")
        before, end = before.format(question=question), end.format(question=question)
        assert text.startswith(before)
        assert text.endswith(end)
        assert passage.startswith(text[len(before) : len(text) - len(end)])


@FUZZ
@given(passage=st.text(st.sampled_from("ab \n.é😀\u0301"), min_size=30, max_size=60), max_length=st.integers(24, 44))
def test_as_much_as_fits_stays(tiny, passage, max_length):
    tokens = tokens_of(boolq("q", passage), tiny, max_length)
    whole = tiny(TEMPLATE.format(question="q", passage=passage))["input_ids"]
    lengths = [
        len(tiny(TEMPLATE.format(question="q", passage=passage[:end]))["input_ids"]) for end in range(len(passage))
    ]
    best = max(length for length in lengths if length <= max_length)
    # A character may have several tokens, of which none is kept alone, and no cut lies inside a token.
    assert tokens == whole or best - 3 <= len(tokens) <= max_length


def test_a_prompt_that_is_too_long_without_its_passage(tiny):
    examples = [boolq("x" * 50, "p", id="row 7"), boolq("x" * 60, "p", id="row 8"), boolq("x", "p" * 50)]
    message = "example 'row 7' .and 1 more.: the prompt has .. tokens even without its 'passage', more than"
    with pytest.raises(DataError, match=message):
        tokenize_examples(examples, tokenizer=tiny, template=TEMPLATE, max_length=40)


def test_another_column_can_be_cut(tiny):
    tokens = tokens_of(boolq("q" * 50, "the passage"), tiny, 40, cut_column="question")
    assert len(tokens) == 40
    assert tiny.decode(tokens).endswith(" Context: the passage")
    with pytest.raises(ConfigError, match="'qestion', stands not at all in the prompt template; did you mean"):
        tokens_of(boolq("q" * 50, "p" * 50), tiny, 40, cut_column="qestion")


def test_an_empty_prompt_has_one_token(tiny):
    bare = tokenizer_of(without_special_tokens(tiny_tokenizer_json()))
    assert tokens_of(boolq("", ""), bare, 10, "{question}{passage}") == [bare.bos_token_id]
    no_special = tokenizer_of(without_special_tokens(tiny_tokenizer_json()), bos_token=None, eos_token=None)
    with pytest.raises(DataError, match="example '0': its prompt is empty and gives no token; give it text"):
        tokens_of(boolq("", ""), no_special, 10, "{question}{passage}")


def test_no_examples(tiny):
    found = tokenize_examples([], tokenizer=tiny, template=TEMPLATE, max_length=10)
    assert (len(found), found.sequences, found.tokens_T.size, found.describe()) == (0, [], 0, "no prompts")


def test_max_length_must_be_positive(tiny):
    with pytest.raises(ValueError, match="max_length = 0 must be at least 1"):
        tokens_of(boolq("a", "b"), tiny, 0)


@pytest.mark.parametrize(("folder", "num_cut"), [("models/stories260K", 679), ("tokenizers/smollm", 13)])
def test_real_tokenizers_on_the_real_boolq(shared_dir, folder, num_cut):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(shared_dir / folder)
    columns = Columns(prompt=("question", "passage"))
    examples = read_examples(shared_dir / "data" / "boolq" / "dev.jsonl", columns)
    found = tokenize_examples(examples, tokenizer=tokenizer, template=TEMPLATE, max_length=512)
    plain = tokenizer([TEMPLATE.format(**example.fields) for example in examples], verbose=False)["input_ids"]
    assert found.num_cut == sum(len(tokens) > 512 for tokens in plain) == num_cut
    for example, tokens, whole, is_cut in zip(examples, found.sequences, plain, found.is_cut_N, strict=True):
        question = tokenizer(f"Question: {example.fields['question']} Context:")["input_ids"]
        assert tokens[: len(question)].tolist() == question
        assert 500 < len(tokens) <= 512 if is_cut else tokens.tolist() == whole


@pytest.mark.parametrize(
    ("tokens", "kept"),
    [
        ([5, 6, 7], [5, 6, 7]),
        ([5, 6, 9], [5, 6]),
        ([5, 9, 6, 9, 9], [5, 9, 6]),
        ([9, 5], [9, 5]),
        ([9, 5, 9], [9, 5]),
        ([9, 9, 9], [9]),
        ([9], [9]),
    ],
    ids=str,
)
def test_what_follows_the_last_token_that_is_no_padding_is_left_out(tokens, kept):
    assert tokens_of(boolq("", ""), Fixed(tokens), 10, pad_token=9) == kept
    assert tokens_of(boolq("", ""), Fixed(tokens), 10) == tokens


class Fixed:
    """A tokenizer that says the same of every text."""

    is_fast = False

    bos_token_id = eos_token_id = None

    def __init__(self, tokens):
        self.tokens = tokens

    def __call__(self, texts, **options):
        return {"input_ids": [list(self.tokens) for _ in texts]}

    def convert_ids_to_tokens(self, token):
        return f"<{token}>"


def test_a_token_that_the_base_does_not_have_is_named():
    assert tokens_of(boolq("", ""), Fixed([3, 8]), 10, embeddings=9) == [3, 8]
    message = r"example 'x': its token '<9>' has the id 9, and the base's ids end at 8: the tokenizer was extended"
    with pytest.raises(DataError, match=message):
        tokens_of(boolq("", "", id="x"), Fixed([3, 9, 1]), 10, embeddings=9)


def test_a_panic_of_the_tokenizer_is_named_and_nothing_else_is():
    """The library's panics are no `Exception`, and its class cannot be imported."""
    panic = type("PanicException", (BaseException,), {})

    def failing(error):
        def tokenizer(*_, **__):
            raise error

        tokenizer.is_fast = True
        return tokenizer

    examples = [Example(id="a", fields={"question": "q"}, label=0)] * 2
    with pytest.raises(DataError, match="the tokenizer of the base fails at one of 2 prompts: 'odd'; look for"):
        tokenize_examples(examples, tokenizer=failing(panic("odd")), template="{question}", max_length=9)
    with pytest.raises(KeyboardInterrupt, match=r"^stop$"):
        tokenize_examples(examples, tokenizer=failing(KeyboardInterrupt("stop")), template="{question}", max_length=9)

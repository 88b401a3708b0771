"""Chat templates: what they write is what transformers writes, and what a stranger's template may cost is bounded."""

import time

import pytest

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.data.example import Example
from ensemble_uq_llm.data.prepare import frame_of
from ensemble_uq_llm.data.prompting.chat_template import LONGEST, chat_frame
from ensemble_uq_llm.data.prompting.frame import encode
from ensemble_uq_llm.data.tokenize import tokenize_examples
from ensemble_uq_llm.errors import ConfigError
from hub_content import tiny_tokenizer_json

CHATML = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
TRIMMING = CHATML.replace("message['content']", "message['content'] | trim")
WITH_BEGINNING = "{{ bos_token }}" + CHATML


@pytest.fixture
def tokenizer():
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer.from_str(tiny_tokenizer_json())
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>")


@pytest.mark.parametrize("template", [CHATML, TRIMMING, WITH_BEGINNING])
@pytest.mark.parametrize("content", ["Is it so?", "  two\n ends \n", "<a> & {{ b }}"])
def test_the_tokens_are_those_of_transformers(tokenizer, template, content):
    tokenizer.chat_template = template
    frame = chat_frame(tokenizer)

    ours = encode(tokenizer, [frame.around(content)], frame=frame)["input_ids"][0]

    message = [{"role": "user", "content": content}]
    theirs = tokenizer.apply_chat_template(message, add_generation_prompt=True, return_dict=False)
    assert ours == list(theirs)
    assert frame.trims is (template == TRIMMING)


MISTRAL = (
    "{% for message in messages %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'] + eos_token }}{% endif %}{% endfor %}"
)
GAPS = {
    "none": (CHATML, ""),
    "a space": (MISTRAL, " "),
    "a line break": (CHATML.replace("|>\n' }}{% endif", "|>' }}{% endif"), ""),
    "no replies": (CHATML + "{% if messages | length > 1 %}{{ raise_exception('no') }}{% endif %}", ""),
    "something else": (MISTRAL.replace("{{ ' ' +", "{{ ' so ' +"), ""),
}


@pytest.mark.parametrize(("template", "gap"), GAPS.values(), ids=GAPS)
def test_the_spaces_with_which_replies_begin_are_known(tokenizer, template, gap):
    tokenizer.chat_template = template
    assert chat_frame(tokenizer).gap == gap


@pytest.mark.parametrize("template", [CHATML, TRIMMING])
def test_a_cut_prompt_keeps_the_turns_the_question_and_the_cue(tokenizer, template):
    tokenizer.chat_template = template
    frame = chat_frame(tokenizer)
    example = Example(id="0", fields={"passage": "  many words " * 50, "question": "is it so"})
    prompt = "{passage}\n{question}?\nAnswer: "

    found = tokenize_examples([example], tokenizer=tokenizer, template=prompt, max_length=64, frame=frame)

    text = tokenizer.decode(found.sequences[0])
    cue = "Answer:\n<|assistant|>\n" if frame.trims else "Answer: \n<|assistant|>\n"
    assert found.num_cut == 1
    assert len(found.sequences[0]) == 64
    assert text.startswith("<|user|>\nmany" if frame.trims else "<|user|>\n  many")
    assert text.endswith(f"is it so?\n{cue}")


def test_a_template_that_says_the_day_says_the_same_every_day(tokenizer):
    tokenizer.chat_template = "{{ strftime_now('%d %b %Y') }} {{ messages[0].content }} "

    assert chat_frame(tokenizer).before == "26 Jul 2024 "


def test_one_of_several_templates_is_taken_if_it_is_the_default(tokenizer):
    tokenizer.chat_template = {"default": CHATML, "tools": "{"}
    assert chat_frame(tokenizer).before == "<|user|>\n"

    tokenizer.chat_template = {"tools": CHATML}
    with pytest.raises(ConfigError, match="has no chat template; set chat_template: false, or name a model"):
        chat_frame(tokenizer)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (None, "has no chat template; set chat_template: false, or name a model that was trained on chats"),
        ("{%", "cannot be used .*TemplateSyntaxError"),
        ("{{ raise_exception('roles!') }}", "cannot be used .*roles!"),
        ("{{ ''.__class__.__mro__ }}", "cannot be used .*SecurityError"),
        ("{{ 'a' * 10**12 }}", "cannot be used .*(MemoryError|too much memory)"),
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "does not end in time"),
        ("{{ 'a' * 100001 }}", "it writes more than 100,000 characters"),
        ("{{ messages[0].content | upper }}", "changes the text that stands in it"),
        ("{{ messages[0].content | e }}", "changes the text that stands in it"),
        ("{{ messages[0].content }}{{ messages[0].content }}", "changes the text that stands in it"),
        ("no message", "changes the text that stands in it"),
        ("{# " + "a" * LONGEST + " #}", "has over 100,000 characters"),
    ],
)
def test_a_template_that_cannot_be_used_is_named_soon(tokenizer, template, message):
    tokenizer.chat_template = template
    before = time.process_time()

    with pytest.raises(ConfigError, match=f"^chat_template: .*{message}"):
        chat_frame(tokenizer)

    assert time.process_time() - before < 1  # of this process: the template's own is bounded


def test_the_configuration_asks_for_it(tokenizer):
    tokenizer.chat_template = CHATML

    assert frame_of(Config(chat_template=True), tokenizer) == chat_frame(tokenizer)
    assert frame_of(Config(), tokenizer).around("text") == "text"
    assert frame_of(Config(append_eos=True, chat_template=True), tokenizer).ends

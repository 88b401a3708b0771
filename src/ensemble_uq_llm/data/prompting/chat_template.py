"""The turns of a chat around a prompt, as the tokenizer's own template writes them.

A template is a program of whoever made the model. It is run by transformers in its sandbox, in a process with bounds on
time and memory, and never sees a row: what it writes around stand-ins stands around every prompt.
"""

import json
import subprocess
import sys
from functools import lru_cache
from typing import Any, Final

from ensemble_uq_llm.data.prompting.frame import Frame
from ensemble_uq_llm.errors import ConfigError
from ensemble_uq_llm.utils.text import clipped

SECONDS: Final = 2
"""Of a processor's time for all stand-ins; an ordinary template takes a thousandth."""
MEGABYTES: Final = 1024
LONGEST: Final = 100_000
"""Characters of a template, and of what it writes."""

STAND_INS: Final = ("zero one two", '\n <b>one</b> & "two" {{ 3 }} \n')
"""A plain text, and one that a template would change that escapes or trims what stands in it."""
REPLY: Final = "three four five"
"""Stands for the reply to the plain text."""

_CHILD: Final = """
import json, sys
asked = json.load(sys.stdin)
sys.path[:] = asked["path"]
from transformers.utils import chat_template_utils as templates
class SomeDay:
    @staticmethod
    def now():
        import datetime
        return datetime.datetime(2024, 7, 26)
templates.datetime = SomeDay
try:
    import resource, time
    seconds = int(time.process_time()) + 1 + asked["seconds"]
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    size = asked["megabytes"] * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
except ImportError:
    pass
said = {}
def written(user, reply=None):
    turns = [{"role": "user", "content": user}] + ([{"role": "assistant", "content": reply}] if reply else [])
    return templates.render_jinja_template(
        conversations=[turns],
        chat_template=asked["template"],
        add_generation_prompt=reply is None,
        **asked["values"],
    )[0][0]
try:
    said["texts"] = [written(content) for content in asked["contents"]]
    try:
        said["texts"].append(written(asked["contents"][0], asked["reply"]))
    except Exception:
        said["texts"].append("")
except Exception as error:
    said["error"] = f"{type(error).__name__}: {error}"[:300]
if any(len(text) > asked["longest"] for text in said.get("texts", ())):
    said = {"error": f"it writes more than {asked['longest']:,} characters"}
print(json.dumps(said))
"""
"""The day is always the same: a prompt that says today's date would be another one tomorrow."""


def chat_frame(tokenizer: Any, *, ends: bool = False) -> Frame:
    """Return what the tokenizer's chat template puts around the one message of a user, and before the answer.

    Raises:
        ConfigError: the tokenizer has no template, or one that fails, takes too long, or changes the message.
    """
    template = tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("default")
    if not isinstance(template, str):
        raise ConfigError(
            "chat_template: the tokenizer of model_name has no chat template; set chat_template: false, or name a "
            "model that was trained on chats"
        )
    if len(template) > LONGEST:
        raise ConfigError(f"chat_template: the tokenizer's template has over {LONGEST:,} characters; set it to false")
    tokens = {name: token for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
    plain, odd, replied = _rendered(template, tuple(sorted(tokens.items())))
    before, found, after = plain.partition(STAND_INS[0])
    for trims in (False, True):
        gap = _gap(plain, replied)
        frame = Frame(before=before, after=after, trims=trims, is_chat=True, ends=ends, gap=gap)
        if found and [frame.around(content) for content in STAND_INS] == [plain, odd]:
            return frame
    raise ConfigError(
        "chat_template: the tokenizer's template changes the text that stands in it, so rows cannot be put into it; "
        "set chat_template: false, and write the turns into prompt_template"
    )


def _gap(plain: str, replied: str) -> str:
    """Return the spaces between the turn of the user and a reply, where those are all there is between them."""
    _, is_there, rest = replied.partition(plain)
    gap, is_replied, _ = rest.partition(REPLY)
    return gap if is_there and is_replied and not gap.strip(" ") else ""


@lru_cache(maxsize=8)
def _rendered(template: str, tokens: tuple[tuple[str, str], ...]) -> tuple[str, str, str]:
    asked = {
        "template": template, "contents": STAND_INS, "reply": REPLY,
        "values": dict(tokens) | {"enable_thinking": False},
        "path": [each for each in sys.path if each], "seconds": SECONDS, "megabytes": MEGABYTES, "longest": LONGEST,
    }  # fmt: skip
    child = [sys.executable, "-I", "-c", _CHILD]
    try:
        # The limit on processor time holds on a busy machine, too; the other one is for where there is none.
        done = subprocess.run(
            child, input=json.dumps(asked).encode(), capture_output=True, timeout=60 * SECONDS, check=False
        )
        said = json.loads(done.stdout) if done.returncode == 0 else {}
    except subprocess.TimeoutExpired:
        said = {}
    if "texts" in said:
        plain, odd, replied = said["texts"]
        return plain, odd, replied
    reason = clipped(said["error"]) if "error" in said else "it does not end in time, or needs too much memory"
    raise ConfigError(f"chat_template: the tokenizer's template cannot be used ({reason}); set chat_template: false")

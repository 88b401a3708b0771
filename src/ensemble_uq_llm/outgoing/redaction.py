"""Secrets out of a text: what the environment calls secret, what stands in URLs, and tokens of known form.

It errs on the side of hiding, but what this package itself writes comes through unchanged: digests, seeds, paths,
names of tokens. What nobody could tell from ordinary text - a password in a sentence - it does not find.
"""

import base64
import html
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote, quote_plus, unquote

HIDDEN: Final = "***"
"""What stands in a secret's place."""

LEAST: Final = 8
"""A value of the environment that is shorter is none: `true` and `1` would be hidden wherever they stand."""

_SECRET_WORDS: Final = frozenset(("KEY", "KEYS", "PASS", "TOKENS", "SECRETS", "PASSWORDS", "CREDENTIAL", "CREDENTIALS"))
_SECRET_ENDS: Final = ("TOKEN", "SECRET", "PASSWORD", "PASSWD", "PASSPHRASE", "APIKEY", "ACCESSKEY", "AUTHKEY")
_PASSWORD_IN_URL: Final = re.compile(r"(?:[a-z][a-z0-9+.-]+://)?[^:/@\s]*:(\S+)@[^\s@]+", re.IGNORECASE)

_NAME = (
    r"token|secret|password|passwd|passphrase|api[_-]?key|(?:access|secret|private|auth|account)[_-]?key|credentials?"
)
_VALUE = r"""(?:"[^"]{6,}"|'[^']{6,}'|[^\s,;"'<>(){}\[\]&]{6,})"""
_FORMS: Final = (
    # Who logs in to a URL, with or without a password; a path has made one slash of two.
    (
        r"\b([a-z][a-z0-9+.-]{1,19}:/{1,2})"
        r"(?:[^\s/?#@:\"'<>]{0,300}:(?!\d{1,5}[/?#])[^\s\"'<>]{0,300}|[^\s/?#\"'<>]{1,300})@",
        rf"\1{HIDDEN}@",
    ),
    # Values in a URL's query that are called secret, signatures of temporary links among them.
    (
        r"([?&;](?:[\w.-]{0,40}(?:token|secret|passw|signature|credential|policy|auth)[\w.-]{0,40}"
        r"|(?:[\w.-]{0,40}[_-])?key(?:[_-]pair)?(?:[_-]id)?|sig|pwd)=)[^&;\s\"'<>#]+",
        rf"\1{HIDDEN}",
    ),
    (
        rf"(?<![\w?&;-])((?!(?:pad|eos|bos|unk|sep|cls|mask)_)(?:[\w.-]{{0,40}}[_.-])?(?:{_NAME})=){_VALUE}",
        rf"\1{HIDDEN}",
    ),
    (rf"""(["'](?:[\w.-]{{0,40}}[_.-])?(?:{_NAME})["']\s*:\s*["'])[^"']{{6,}}""", rf"\1{HIDDEN}"),
    (r"\b((?:password|passwd|passphrase|api[_-]?key|(?:secret|access|auth)[_-](?:key|token)): )\S{6,}", rf"\1{HIDDEN}"),
    (r"""(authorization["']?\s*[:=]\s*["']?(?:bearer |basic |token )?)[^\s"',]+""", rf"\1{HIDDEN}"),
    # Tokens of Hugging Face, OpenAI and Anthropic, Stripe, GitHub, GitLab, W&B, AWS, Slack, Google, npm, PyPI; JWTs.
    (
        r"(?<![a-z0-9])(?:hf_[a-z0-9]{20,}|api_org_[a-z0-9]{20,}|sk-[a-z0-9_-]{20,}|[sr]k_(?:live|test)_[a-z0-9]{16,}"
        r"|gh[pousr]_[a-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}|wandb_v1_[\w-]{20,}|xox[a-z]-[a-z0-9-]{10,}"
        r"|npm_[a-z0-9]{36}|pypi-AgE[\w-]{20,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{5,})",
        HIDDEN,
    ),
    (r"(?<![A-Za-z0-9])(?-i:(?:AKIA|ASIA)[A-Z0-9]{16}|AIza[\w-]{35})(?![A-Za-z0-9])", HIDDEN),
)
_COMPILED: Final = tuple((re.compile(pattern, re.IGNORECASE), by) for pattern, by in _FORMS)
_MARKS: Final = ("@", "=", ":", "_", "-", "eyJ", "AKIA", "ASIA", "AIza")
"""Without any of these a text has none of the forms."""


def redacted(text: str) -> str:
    """Return a text with `***` in place of every secret that can be told."""
    if len(text) < LEAST:
        return text
    if secrets := _known():
        text = _pattern_of(secrets).sub(HIDDEN, text)
    if any(mark in text for mark in _MARKS):
        for pattern, by in _COMPILED:
            text = pattern.sub(by, text)
    return text


def without_secrets(value: Any) -> Any:
    """Return plain values, such as those of a JSON, with all texts in them redacted."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, dict):
        return {without_secrets(key): without_secrets(each) for key, each in value.items()}
    return [without_secrets(each) for each in value] if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class _Environment:
    """The secrets that were found in the environment, and what it held then."""

    held: Mapping[Any, Any]
    secrets: frozenset[str]


_last = _Environment(held={}, secrets=frozenset())


def _known() -> frozenset[str]:
    """Return the secrets of the environment, as it is now.

    It is looked through again only where it has changed: every word of every message comes by here, and decoding all
    variables takes eighty times as long as comparing what they are decoded from.
    """
    global _last
    held = getattr(os.environ, "_data", None)  # where Python has no such mapping, it is looked through every time
    if not isinstance(held, dict):
        return _secrets_of(os.environ)
    if held != _last.held:
        now = dict(held)  # before looking, so that a change meanwhile is seen the next time
        _last = _Environment(held=now, secrets=_secrets_of(os.environ))
    return _last.secrets


def _secrets_of(environment: Mapping[str, str]) -> frozenset[str]:
    found: set[str] = set()
    for name, value in environment.items():
        is_url = "@" in value and ("://" in value or name.upper().endswith("PROXY"))
        if is_url and (url := _PASSWORD_IN_URL.fullmatch(value)):
            found |= {password for password in (url[1], unquote(url[1])) if len(password) >= LEAST}
        elif len(value) >= LEAST and _is_secret_by_name(name) and not _is_place(value):
            found.add(value)
    return frozenset(found)


def _is_place(value: str) -> bool:
    return os.sep in value and os.path.exists(value)  # noqa: PTH110 (Path.exists fails where a name is too long)


@lru_cache(maxsize=1024)
def _is_secret_by_name(name: str) -> bool:
    words = re.split(r"[^A-Z0-9]+", name.upper())
    names_a_place = bool({"PATH", "FILE", "DIR"} & set(words))
    return not names_a_place and any(word in _SECRET_WORDS or word.endswith(_SECRET_ENDS) for word in words)


@lru_cache(maxsize=8)
def _pattern_of(secrets: frozenset[str]) -> re.Pattern[str]:
    forms = {form for secret in secrets for form in _forms_of(secret)}
    return re.compile("|".join(map(re.escape, sorted(forms, key=lambda form: (-len(form), form)))))


def _forms_of(secret: str) -> Iterator[str]:
    """Yield how a secret may be spelled: as it is, in a URL, a page, a JSON, a Python value, and in base64."""
    yield from (secret, quote(secret, safe=""), quote(secret), quote_plus(secret), html.escape(secret))
    yield from (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1])
    content = secret.encode("utf-8", "surrogateescape")
    for before in range(3):
        # Behind one or two other bytes its letters are others; those that it shares with its neighbours are left.
        shared = (before * 8 + 5) // 6
        for code in (base64.b64encode, base64.urlsafe_b64encode):
            yield code(bytes(before) + content).decode()[shared : (before + len(content)) * 8 // 6]

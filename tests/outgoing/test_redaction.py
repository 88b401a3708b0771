import base64
import json
import time
from urllib.parse import quote

import pytest

from documents import DOCUMENTS
from ensemble_uq_llm.outgoing import redaction
from ensemble_uq_llm.outgoing.redaction import HIDDEN, redacted, without_secrets

HF = "hf_AbCdEfGhIjKlMnOpQrStUvWxYz01234567"
SECRETS_OF = redaction._secrets_of
ODD = "pa&ss<wörd>\"% 'x"


@pytest.mark.parametrize(
    "text",
    [
        "https://user:pass@host/file",
        "https://user:p@ss@host/file",
        "https://user:pa/ss@host/file",
        "https://token@host/file",
        "https:/user:pass@host/file",
        "HTTPS://user:pass@HOST",
        "s3+ssl://user:pass@host:8080/x?y=z",
    ],
)
def test_who_logs_in_to_a_url_is_hidden(text):
    scheme, _, host = text.rpartition("@")
    assert redacted(f"cannot read {text}; stop") == f"cannot read {scheme.partition('/')[0]}" + (
        f"//{HIDDEN}@{host}; stop" if "://" in text else f"/{HIDDEN}@{host}; stop"
    )


@pytest.mark.parametrize(
    "secret",
    [
        HF,
        "sk-ant-api03-abcdefghijklmnopqrst",
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        "github_pat_11ABCDEFG0abcdefghijkl_mnop",
        "glpat-abcdefghijklmnopqrst",
        "AKIAIOSFODNN7EXAMPLE",
        "xoxb-123456789012-abcdefghijkl",
        "wandb_v1_abcdefghijklmnopqrstuvwxyz",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    ],
)
@pytest.mark.parametrize("around", ["{}", "a {} b", "cache/{}/x", "'{}'", "--set cache_dir={}", "Bearer {}"])
def test_tokens_of_known_form_are_hidden_anywhere(secret, around):
    assert redacted(around.format(secret)) == around.format(HIDDEN)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("--set api_key=Zq8xYw2v", "--set api_key=***"),
        ("MY_TOKEN=Zq8xYw2v ls", "MY_TOKEN=*** ls"),
        ("--set 'db-password=\"two words\"'", "--set 'db-password=***'"),
        ('{"access_token": "Zq8xYw2v"}', '{"access_token": "***"}'),
        ("{'authorization': 'Bearer Zq8xYw2v', 'x': 1}", "{'authorization': 'Bearer ***', 'x': 1}"),
        ("password: Zq8xYw2v", "password: ***"),
        ("https://h/f?X-Amz-Signature=0a1b&x=1&Key-Pair-Id=K2F", "https://h/f?X-Amz-Signature=***&x=1&Key-Pair-Id=***"),
    ],
)
def test_what_is_called_a_secret_is_hidden(text, left):
    assert redacted(text) == left


@pytest.mark.parametrize("name", ["HF_TOKEN", "WANDB_API_KEY", "PGPASSWORD", "TOKEN_2", "AWS_SECRET_ACCESS_KEY"])
@pytest.mark.parametrize("secret", ["plainwords", ODD, "0123456789abcdef0123456789abcdef01234567", "x/y+z=1234"])
def test_secrets_of_the_environment_are_hidden_however_they_are_spelled(monkeypatch, name, secret):
    monkeypatch.setenv(name, secret)
    spelled = {
        "plain": secret,
        "in a URL": quote(secret, safe=""),
        "JSON": json.dumps(secret)[1:-1],
        "Python": repr(secret)[1:-1],
        "base64": base64.b64encode(secret.encode()).decode(),
        "basic": base64.b64encode(f"u:{secret}".encode()).decode(),
        "basic 3": base64.b64encode(f"usr:{secret}".encode()).decode(),
    }
    for form, text in spelled.items():
        left = redacted(f"[{text}]")
        assert HIDDEN in left, form
        assert len(left) <= len("[]") + len(HIDDEN) + (10 if form.startswith("b") else 0), (form, left)


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "HF_ENDPOINT"])
def test_the_password_of_a_proxy_is_hidden_alone_too(monkeypatch, name):
    monkeypatch.setenv(name, "http://user:hid%2Fden-word@proxy:3128")
    assert redacted("tried hid%2Fden-word and hid/den-word at proxy:3128") == "tried *** and *** at proxy:3128"
    monkeypatch.setenv("HTTP_PROXY", "user:other-word@proxy:3128")
    assert redacted("tried other-word") == "tried ***"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HF_TOKEN", "short"),
        ("TOKENIZERS_PARALLELISM", "false_or_so"),
        ("HF_TOKEN_PATH", "/nowhere/a_token"),
        ("MONKEY", "a_long_value"),
        ("SSL_KEY", "/etc/hostname"),
        ("HOME", "/home/somebody"),
    ],
)
def test_what_is_no_secret_stays(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert redacted(f"a {value} b") == f"a {value} b"


@pytest.mark.parametrize(
    "text",
    [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "seeds: [42, 43, 44], tokens_per_pass=1048576, max_tokens=100000, pad_token=<|endoftext|>",
        "hf://datasets/google/boolq@35b264d03638db9f4ce671b711558bf7ff0f80d5/data.parquet",
        "git@github.com:owner/repo.git and C:/Users/me@home/x.csv, user@host.org",
        "http://localhost:8080/a@b, https://huggingface.co/meta-llama/Llama-3.2-1B",
        "write it as key=value; --columns id=qid,label=gold; a basic calibration; the token: it is gone",
        "run `hf auth login` or set HF_TOKEN; hf_model_with_a_long_name; risk-of-misclassification-in-all-cases",
    ],
)
def test_ordinary_text_stays(text):
    assert redacted(text) == text


def test_everything_that_we_write_stays(finished_run):
    texts = {str(path): path.read_text("utf-8") for path in finished_run.rglob("*") if path.suffix not in BINARY}
    texts |= DOCUMENTS
    assert len(texts) > 20
    assert [name for name, text in texts.items() if redacted(text) != text] == []


BINARY = (".parquet", ".safetensors", "")


def test_plain_values_keep_their_form():
    value = {"a": [1, 2.5, None, True, (HF,)], f"x {HF}": {"b": HF}}
    assert without_secrets(value) == {"a": [1, 2.5, None, True, ["***"]], "x ***": {"b": "***"}}


def test_what_is_redacted_is_not_redacted_again():
    text = redacted(f"https://u:p@h/?token=abcdef {HF} api_key=abcdefgh")
    assert redacted(text) == text


@pytest.mark.parametrize(
    "part", ["a-", "https://", "ab:/", "key=", "?a", "eyJ", "token.", "a:b@", "sk-", "/?key-", "x"]
)
def test_no_text_takes_long(part):
    text = part * (100_000 // len(part))
    started = time.process_time()
    redacted(text)
    assert time.process_time() - started < 3


def test_the_environment_is_looked_through_again_where_it_has_changed_and_only_there(monkeypatch):
    looked = []
    monkeypatch.setattr(redaction, "_secrets_of", lambda held: looked.append(1) or SECRETS_OF(held))
    monkeypatch.setenv("HF_TOKEN", "the-first-one")
    assert [redacted("the-first-one or the-other-one") for _ in range(3)] == ["*** or the-other-one"] * 3
    assert len(looked) == 1
    monkeypatch.setenv("HF_TOKEN", "the-other-one")
    assert redacted("the-first-one or the-other-one") == "the-first-one or ***"
    monkeypatch.delenv("HF_TOKEN")
    assert redacted("the-first-one or the-other-one") == "the-first-one or the-other-one"
    assert len(looked) == 3


def test_an_environment_of_another_kind_is_looked_through_every_time(monkeypatch):
    held = {"HF_TOKEN": "the-first-one"}
    monkeypatch.setattr(redaction.os, "environ", held)
    assert redacted("the-first-one or the-other-one") == "*** or the-other-one"
    held["HF_TOKEN"] = "the-other-one"
    assert redacted("the-first-one or the-other-one") == "the-first-one or ***"

"""More than twenty canaries in environment, URLs, arguments, configurations, errors: none is heard in any output.

Searched are both streams and every file, Parquet unpacked, for each canary as it is, in a URL's spelling, and in base64
wherever in a longer text it may stand.
"""

import base64
import json
import logging
import os
import subprocess
import sys
import warnings
from types import ModuleType, SimpleNamespace
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest
from huggingface_hub import constants
from huggingface_hub.utils import close_session

import ensemble_uq_llm.data.reading.hub_rows as hub_rows
from ensemble_uq_llm.cli import main
from ensemble_uq_llm.training.loop import train
from small_runs import settings

ENVIRONMENT = {
    "HF_TOKEN": "hf_canaryAbCdEfGhIjKlMnOpQrStUvWxYz01",
    "HUGGING_FACE_HUB_TOKEN": "canary-of-the-hub",
    "WANDB_API_KEY": "0c0a0n0a0r0y0123456789abcdef0123456789ab",
    "AWS_ACCESS_KEY_ID": "AKIACANARY0000000000",
    "AWS_SECRET_ACCESS_KEY": "canary/wJalrXUt+nFEMI/K7MDENG",
    "AWS_SESSION_TOKEN": "canaryFwoGZXIvYXdzEBYaDKv==",
    "OPENAI_API_KEY": "sk-canary-abcdefghijklmnopqrstuv",
    "SERVICE_PASSWORD": "canary pass&wörd<\"'%>",
    "DB_SECRET": "canaryplainwords",
}
"""Nine secrets; the libraries quote them in what they raise and log."""

PROXY, ENDPOINT = "canary-of-the-proxy", "canary-of-the-endpoint"
TOKEN = "ghp_canary0123456789abcdefghijklmnop"
PASSWORD = "canary-in-a-url"
URL = f"https://user:{PASSWORD}@127.0.0.1/x"

ARGUMENTS = {
    "model": ["validate", "--set", f"model_name={URL}"],
    "training file": ["validate", "--set", f"train_file={URL}.jsonl", "--set", "model_name=embedded"],
    "unknown key": ["config", "--set", f"hub_password={PASSWORD}"],
    "no key": ["config", "--set", TOKEN],
    "shown value": ["config", "--set", f"cache_dir=/cache/{TOKEN}"],
    "shown JSON": ["config", "--set", f"cache_dir=/cache/{TOKEN}", "--json"],
    "predictions": ["evaluate", f"{URL}.parquet"],
    "shifted set": ["evaluate", "{run}", "--shift", f"news={URL}.parquet"],
    "compared": ["compare", "{run}", f"{URL}.csv"],
    "data": ["predict", "{run}", "--data", f"{URL}.jsonl"],
    "recorded": ["predict", "{run}", "--set", f"cache_dir=/cache/{TOKEN}"],
    "next command": ["train", "{run}", "--dry-run", "--set", f"cache_dir=/cache/{TOKEN}"],
    "usage": [TOKEN],
    "option": ["evaluate", f"--{TOKEN}"],
    "configuration": ["config", f"{URL}.yaml"],
    "adapter": ["predict", "{run}", "--adapter", f"/adapters/{TOKEN}"],
    "run folder": ["train", "{run}", "--set", f"output_dir={URL}", "--set", "resume=false"],
    "results": ["evaluate", "{run}/predictions/validation.parquet", "--output", URL],
    "no key, cut": ["config", "--set", f"https://{'u' * 60}:{PASSWORD}@127.0.0.1/x"],
}
"""Secrets that somebody typed, in every place where something can be typed."""


def spelled(secret):
    """Return how a secret may stand in a text, as bytes."""
    content = secret.encode()
    forms = {content, quote(secret).encode(), quote(secret, safe="").encode(), json.dumps(secret)[1:-1].encode()}
    for before in range(3):
        code = base64.b64encode(b"\0" * before + content)
        forms.add(code[-(-before * 8 // 6) : (before + len(content)) * 8 // 6])
    return forms


def contents(folder):
    """Yield the bytes of every file in a folder, and of Parquet what it holds."""
    for path in folder.rglob("*"):
        if path.is_file():
            yield path, path.read_bytes()
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            yield path, repr((table.to_pydict(), table.schema.metadata)).encode()


def heard(secrets, folder, *streams):
    """Return the places where a secret stands."""
    places = [("a stream", text.encode("utf-8", "surrogatepass")) for text in streams]
    places += [(path.name, content) for path, content in contents(folder)]
    return [(secret, place) for secret in secrets for place, text in places if any(x in text for x in spelled(secret))]


@pytest.fixture
def command(monkeypatch, capsys, own_run):
    """Run a command in this process; returns the exit code and both streams."""

    def call(*words):
        words = [word.format(run=own_run) if word == "{run}" else word for word in map(str, words)]
        monkeypatch.setattr(sys, "argv", ["ensemble-uq", *words])
        with pytest.raises(SystemExit, match=r"^(\d|None)$") as stop:
            main(words)
        return stop.value.code or 0, *capsys.readouterr()

    return call


@pytest.fixture
def secrets(monkeypatch):
    for name, secret in ENVIRONMENT.items():
        monkeypatch.setenv(name, secret)
    return [*ENVIRONMENT.values()]


@pytest.mark.parametrize("case", ARGUMENTS)
def test_what_was_typed_is_not_repeated(case, command, own_run, monkeypatch, tmp_path, tally):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    _, out, err = command(*ARGUMENTS[case])
    assert heard([TOKEN, PASSWORD], own_run, out, err) == []
    assert "***" in out + err + (own_run / "run.json").read_text(), "it was never about to be said"
    tally(f"{case}: 1 of 1 canaries unheard")


def complain(words):
    """Do what the libraries do when the hub refuses: log, warn, raise, each time with all that was sent."""
    code = base64.b64encode(f"user:{words}".encode()).decode()
    text = (
        f"401 for url https://user:{quote(words, safe='')}@hub/?token={quote(words)}: {words} {words!r}, Basic {code}"
    )
    log = logging.getLogger("canary")
    log.addHandler(handler := logging.StreamHandler())
    log.warning("retry: %s", text)
    log.removeHandler(handler)
    warnings.warn(text, stacklevel=2)
    raise ConnectionError(f"{text}\n{json.dumps({'authorization': f'Bearer {words}'})}")


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_what_a_library_says_of_the_environment_is_not_repeated(name, command, secrets, own_run, monkeypatch, tally):
    import datasets

    monkeypatch.setattr(hub_rows, "why_hub_is_silent", lambda: None)
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: complain(ENVIRONMENT[name]))
    changes = ["train_file=null", "validation_file=null", "dataset=boolq"]
    code, out, err = command("train", own_run, "--dry-run", *(word for each in changes for word in ("--set", each)))
    assert code in (2, 3), out + err
    assert heard(secrets, own_run, out, err) == []
    assert err.count("***") >= 9, "a log, a warning and an error were to quote it"
    tally(f"{name}: 1 of 1 canaries unheard")


def test_the_password_of_the_hubs_address_is_not_repeated(command, own_run, monkeypatch, request):
    monkeypatch.setenv("HTTP_PROXY", f"http://user:{PROXY}@127.0.0.1:9")
    monkeypatch.setenv("HF_ENDPOINT", f"http://user:{ENDPOINT}@127.0.0.1:9")
    monkeypatch.setattr(constants, "ENDPOINT", os.environ["HF_ENDPOINT"])
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    close_session()  # which has read the proxy of its time, and would keep this one
    request.addfinalizer(close_session)
    said = [
        command("validate", own_run, "--set", "model_name=owner/nothing"),
        command("doctor"),
        command("doctor", "--json"),
    ]
    assert heard([PROXY, ENDPOINT], own_run, *(text for _, *streams in said for text in streams)) == []
    assert all("http://***@127.0.0.1:9" in out + err for _, out, err in said)


def test_a_tracker_is_told_no_secret(monkeypatch, secrets, tiny_base, tiny_data, tmp_path):
    fake, told = ModuleType("wandb"), []

    def ignore(*_, **__):
        pass

    def init(**arguments):
        with pytest.raises(EOFError, match="EOF"):
            input("wandb: Enter your choice: ")
        told.append(json.dumps([arguments["config"], sys.argv, os.environ["WANDB_CONSOLE"]]))
        return SimpleNamespace(define_metric=ignore, log=ignore, finish=ignore)

    fake.init, fake.Error = init, type("Error", (Exception,), {})
    monkeypatch.setitem(sys.modules, "wandb", fake)
    for name in ("WANDB_CONSOLE", "WANDB_DISABLE_GIT"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "argv", ["train.py", f"--token={TOKEN}"])
    cache = tmp_path / TOKEN
    train(settings(tiny_base, tiny_data, tmp_path / "run", log_to="wandb", num_ensemble_models=1, cache_dir=cache))
    (tmp_path / "run" / "config.yaml").unlink()  # a path must be exact there, or the run could not be continued
    assert heard([*secrets, TOKEN], tmp_path / "run", *told) == []
    assert told[0].count("***") == 2
    assert '"off"' in told[0]
    assert sys.argv == ["train.py", f"--token={TOKEN}"]


def test_the_traceback_of_a_bug_has_no_secret(tmp_path):
    code = f"""
import ensemble_uq_llm.evaluation_commands as commands, ensemble_uq_llm.cli as cli
def bug(*_):
    raise KeyError({f"{URL} {TOKEN} " + ENVIRONMENT["DB_SECRET"]!r})
commands.check_exists = bug
cli.main(["evaluate", {TOKEN!r}])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=os.environ | ENVIRONMENT
    )
    assert done.returncode == 1
    assert done.stderr.rstrip().endswith("KeyError: 'https://***@127.0.0.1/x *** ***'")
    assert heard([PASSWORD, TOKEN, *ENVIRONMENT.values()], tmp_path, done.stdout, done.stderr) == []


def test_a_report_names_its_folder_without_the_secret(command, own_run):
    folder = own_run.rename(own_run.with_name(f"run of {TOKEN}"))
    code, out, err = command("report", folder)
    assert code == 0
    assert heard([TOKEN], folder, out, err) == []


@pytest.mark.parametrize("secret", [*ENVIRONMENT.values(), TOKEN, PASSWORD])
@pytest.mark.parametrize("form", ["plain", "URL", "JSON", "base64", "basic", "longer basic"])
def test_the_search_hears_a_planted_canary(secret, form, tmp_path):
    text = {
        "plain": secret,
        "URL": quote(secret, safe=""),
        "JSON": json.dumps(secret),
        "base64": base64.b64encode(secret.encode()).decode(),
        "basic": base64.b64encode(f"u:{secret}".encode()).decode(),
        "longer basic": base64.b64encode(f"user:{secret}@".encode()).decode(),
    }[form]
    assert heard([secret], tmp_path, f"x {text} y") == [(secret, "a stream")]
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "log.txt").write_text(f"x{text}y", encoding="utf-8")
    assert heard([secret], tmp_path, "nothing") == [(secret, "log.txt")]


def test_the_search_unpacks_parquet(own_run):
    import pyarrow as pa

    table = pa.table({"id": [TOKEN] * 1000}).replace_schema_metadata({"made by": PASSWORD})
    pq.write_table(table, own_run / "predictions" / "leak.parquet", compression="zstd")
    assert {secret for secret, _ in heard([TOKEN, PASSWORD], own_run)} == {TOKEN, PASSWORD}


def test_without_the_guards_the_canaries_are_heard(command, own_run, monkeypatch):
    for module in ("errors", "printing", "utils.provenance", "outgoing.safe_console"):
        monkeypatch.setattr(f"ensemble_uq_llm.{module}.safe_text", lambda text, **_: text)
    for module in ("outgoing.guarded_streams", "utils.text"):
        monkeypatch.setattr(f"ensemble_uq_llm.{module}.redacted", lambda text: text)
    for case in ("predictions", "recorded", "shown value"):
        _, out, err = command(*ARGUMENTS[case])
        assert heard([TOKEN, PASSWORD], own_run, out, err) != [], case

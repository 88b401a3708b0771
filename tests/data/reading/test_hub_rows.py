"""The hub's clients read their settings at import, so each test runs them in a process of its own."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hub_content import boolq_rows
from hub_server import HubServer, client_environment

CLIENT = """
import json, sys, time
from pathlib import Path
from ensemble_uq_llm.data.reading.hub_rows import load_hub_rows
from ensemble_uq_llm.errors import DataError
repo, split, cache_dir = sys.argv[1:]
import datasets  # its own import is not what is timed
begin = time.perf_counter()
try:
    rows = load_hub_rows(repo, split=split, cache_dir=Path(cache_dir))
    answer = {"rows": [dict(row.values) for row in rows], "lines": [row.line for row in rows]}
except DataError as error:
    answer = {"error": str(error)}
print(json.dumps(answer | {"seconds": time.perf_counter() - begin}))
"""


def load(environment: dict[str, str], cache_dir: Path, repo="google/boolq", split="validation") -> dict:
    command = [sys.executable, "-c", CLIENT, repo, split, str(cache_dir)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def bodies(hub: HubServer) -> list[str]:
    return [request for request in hub.requests if request.startswith("GET") and request.endswith(".parquet")]


def test_boolq_comes_from_the_hub_then_from_the_cache(hub, tmp_path):
    environment, cache = hub.environment(tmp_path / "home"), tmp_path / "cache"
    first = load(environment, cache)
    assert first["rows"] == boolq_rows("validation")
    assert first["lines"] == list(range(1, 11))
    assert len(bodies(hub)) == 2
    assert {path.suffix for path in cache.rglob("*.*")} >= {".arrow", ".parquet"}
    assert not [path for path in (tmp_path / "home").rglob("*") if path.suffix in (".arrow", ".parquet")]
    hub.requests.clear()

    assert load(environment, cache)["rows"] == boolq_rows("validation")
    assert bodies(hub) == []

    hub.is_gone = True
    gone = load(environment, cache)
    assert gone["rows"] == boolq_rows("validation")
    assert gone["seconds"] < 5

    hub.requests.clear()
    offline = load(environment | {"HF_HUB_OFFLINE": "1"}, cache, split="train")
    assert offline["rows"] == boolq_rows("train")
    assert hub.requests == []


@pytest.mark.parametrize(
    ("more", "reason"),
    [({}, "http://127.0.0.1:9 does not answer: .*refused"), ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set")],
)
def test_an_unreachable_hub_is_said_in_seconds(tmp_path, more, reason):
    found = load(client_environment("http://127.0.0.1:9", tmp_path, **more), tmp_path / "cache")
    pattern = (
        f"data set 'google/boolq' is not in the cache, and {reason}; connect, or use local files:"
        r" train_file=train\.jsonl validation_file=dev\.jsonl .*one object a line with question, passage and answer\)"
    )
    assert re.fullmatch(pattern, found["error"])
    assert found["seconds"] < 5


def test_another_data_set_is_not_told_of_boolq(tmp_path):
    found = load(client_environment("http://127.0.0.1:9", tmp_path), tmp_path / "cache", repo="stanfordnlp/sst2")
    assert found["error"].endswith("or use local files: train_file=train.jsonl validation_file=dev.jsonl")


def test_a_connection_that_breaks_half_way(hub, tmp_path):
    environment, cache = hub.environment(tmp_path / "home"), tmp_path / "cache"
    hub.cut_in = "validation"
    found = load(environment, cache)
    assert re.match("the connection broke while 'google/boolq' was loaded .*; run the same command", found["error"])
    assert found["seconds"] < 15

    hub.come_back()
    hub.requests.clear()
    assert load(environment, cache)["rows"] == boolq_rows("validation")
    assert [path for path in bodies(hub) if "train" in path] == []  # it was complete, so it was kept


@pytest.mark.parametrize(
    ("repo", "split", "message"),
    [
        (
            "tests/gated",
            "train",
            r"'tests/gated' is gated: accept its terms on .*/tests/gated, then run `hf auth",
        ),
        (
            "google/bolq",
            "train",
            r"'google/bolq' is not on the hub, or it is private; did you mean 'google/boolq'\?",
        ),
        ("google/boolq", "test", r"'google/boolq' has no split 'test': .*'train', 'validation'"),
    ],
)
def test_what_the_hub_refuses(hub, tmp_path, repo, split, message):
    found = load(hub.environment(tmp_path / "home"), tmp_path / "cache", repo, split)
    assert re.search(message, found["error"])


def test_what_answers_is_no_hub(hub, tmp_path):
    environment = client_environment(hub.endpoint + "/mirror/of/nothing", tmp_path / "home")
    found = load(environment, tmp_path / "cache")
    assert re.search("is not a Hugging Face hub, or a proxy stands between; check HF_ENDPOINT", found["error"])

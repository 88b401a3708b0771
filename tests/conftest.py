"""Fixtures of the whole suite: the shared real data where it is, and a hub on the loopback interface."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub_content import all_repos, tiny_llama_files
from hub_server import HubServer


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of shared real data beside the checkout; a test that needs it is skipped without it."""
    folder = Path(__file__).parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip(f"needs the shared real data in {folder}")
    return folder


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """A Hugging Face hub on 127.0.0.1; see `hub_content.all_repos` for what it holds."""
    with HubServer(all_repos()) as server:
        yield server


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random LLaMA of two layers with its tokenizer."""
    folder = tmp_path_factory.mktemp("base") / "tiny-llama"
    folder.mkdir()
    for name, content in tiny_llama_files().items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four labelled questions as JSONL."""
    path = tmp_path_factory.mktemp("data") / "questions.jsonl"
    rows = [
        {
            "id": f"row {index}",
            "question": f"is {index} even",
            "passage": f"The number {index} is {'odd' if index % 2 else 'even'}.",
            "answer": index % 2 == 0,
        }
        for index in range(24)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path

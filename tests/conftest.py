"""Fixtures of the whole suite: the shared real data where it is, and a hub on the loopback interface."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hub_content import all_repos
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

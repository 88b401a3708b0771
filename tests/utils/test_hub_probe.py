import socket

import pytest
from huggingface_hub import constants

from ensemble_uq_llm.utils.hub import why_hub_is_silent


@pytest.fixture
def closed_port():
    """A port of the loopback interface on which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    return port


def test_a_hub_that_answers(hub, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    assert why_hub_is_silent() is None


def test_a_hub_that_does_not_answer(closed_port, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{closed_port}")
    assert why_hub_is_silent().startswith(f"http://127.0.0.1:{closed_port} does not answer: ")


def test_offline_asks_nobody(hub, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    assert why_hub_is_silent() == "HF_HUB_OFFLINE is set"
    assert hub.requests == []

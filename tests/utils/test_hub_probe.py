import socket
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Event, Thread

import pytest
from huggingface_hub import constants

from ensemble_uq_llm.utils import hub as hub_module
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


def test_a_hub_that_says_that_it_cannot_is_silent(monkeypatch):
    class Busy(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(503)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Busy) as server:
        Thread(target=server.handle_request, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", endpoint)
        assert why_hub_is_silent() == f"{endpoint} answers with status 503"


def test_a_look_up_that_hangs_is_not_waited_for(monkeypatch):
    released = Event()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub_module, "SECONDS_TO_ANSWER", 0.05)
    monkeypatch.setattr(hub_module, "_ask", lambda *_: released.wait())
    assert why_hub_is_silent().endswith("does not answer: nothing came within 0.05 seconds")
    released.set()

"""Ask once, briefly, whether the Hugging Face hub answers, before anything waits for it."""

from concurrent.futures import Future
from threading import Thread
from typing import Final

SECONDS_TO_ANSWER: Final = 5.0

SERVER_ERROR: Final = 500
"""From this status on a server says that it cannot answer; the hub's library would ask for half a minute."""


def why_hub_is_silent() -> str | None:
    """Return None if the hub answers, or else in words why there is no answer; after five seconds at the latest."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    answer: Future[int] = Future()
    Thread(target=_ask, args=(constants.ENDPOINT, answer), daemon=True).start()
    try:
        # A time limit of the request's own would not hold for the look-up of the name, which may take half a minute.
        status = answer.result(timeout=SECONDS_TO_ANSWER)
    except TimeoutError:
        return f"{constants.ENDPOINT} does not answer: nothing came within {SECONDS_TO_ANSWER:g} seconds"
    except Exception as error:  # noqa: BLE001  (requests, httpx or httpx2, as the hub's version has it)
        return f"{constants.ENDPOINT} does not answer: {str(error) or type(error).__name__}"
    return f"{constants.ENDPOINT} answers with status {status}" if status >= SERVER_ERROR else None


def _ask(endpoint: str, answer: "Future[int]") -> None:
    from huggingface_hub import get_session

    try:
        answer.set_result(int(get_session().head(endpoint, timeout=SECONDS_TO_ANSWER).status_code))
    except BaseException as error:  # noqa: BLE001  (whoever waits for the answer raises it)
        answer.set_exception(error)

"""Ask once, briefly, whether the Hugging Face hub answers, before anything waits for it."""

from typing import Final

SECONDS_TO_ANSWER: Final = 5.0


def why_hub_is_silent() -> str | None:
    """Return None if the hub answers (whatever it says), or else in words why there is no answer."""
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    try:
        get_session().head(constants.ENDPOINT, timeout=SECONDS_TO_ANSWER)
    except Exception as error:  # noqa: BLE001  (requests, httpx or httpx2, as the hub's version has it)
        return f"{constants.ENDPOINT} does not answer: {str(error) or type(error).__name__}"
    return None

"""That the test hub is one for transformers too: a model with its tokenizer, a gated and an unknown one."""

import subprocess
import sys

CLIENT = """
import warnings
warnings.simplefilter("ignore")
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained("tests/tiny-llama")
model, info = AutoModelForCausalLM.from_pretrained("tests/tiny-llama", output_loading_info=True)
assert tokenizer("a")["input_ids"][0] == 0
assert not info["missing_keys"] and not info["unexpected_keys"], info
assert model.config.vocab_size == len(tokenizer)
for name in ("meta-llama/gated", "nobody/nothing"):
    try:
        AutoConfig.from_pretrained(name)
    except OSError as error:
        print(str(error).splitlines()[0])
"""


def test_transformers_loads_from_it(hub, tmp_path):
    command = [sys.executable, "-c", CLIENT]
    environment = hub.environment(tmp_path)
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    gated, unknown = run.stdout.splitlines()
    assert gated == "You are trying to access a gated repo."
    assert unknown.startswith("nobody/nothing is not a local folder and is not a valid model identifier")

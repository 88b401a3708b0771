"""Model and adapter folders that try to run code, each in one place of theirs, and what tells whether one did.

Whatever runs touches a file. An audit hook notes besides what leads there: pickles, modules from these folders,
questions on the standard input.
"""

import io
import json
import os
import pickle
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from hub_content import tiny_llama_files

CODE = """\
from pathlib import Path
Path({trace!r}).touch()
class Own:
    @classmethod
    def from_pretrained(cls, *args, **kwargs): return cls()
"""
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt", ".pickle", ".npy", ".h5", ".msgpack")
KERNELS = "kernels-community/flash-attn"
AUTO_MAP = {
    f"Auto{name}": "own.Own"
    for name in ("Config", "Model", "ModelForCausalLM", "ModelForSequenceClassification", "Processor", "ImageProcessor")
} | {"AutoTokenizer": ["own.Own", "own.Own"]}


class Touch:
    """What touches a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return Path.touch, (self.trace,)


class Folders:
    """A base and an adapter folder that a case spoils; `trace` is what their code would touch."""

    def __init__(self, root: Path, adapter: Path) -> None:
        self.base, self.adapter, self.trace = root / "base", root / "adapter", root / "it-ran"
        self.base.mkdir()
        for name, body in tiny_llama_files().items():
            (self.base / name).write_bytes(body)
        shutil.copytree(adapter, self.adapter)
        for folder in (self.base, self.adapter):
            (folder / "own.py").write_text(CODE.format(trace=str(self.trace)))

    def config(self, **changes: Any) -> None:
        change(self.base / "config.json", **changes)

    def tokenizer(self, **changes: Any) -> None:
        change(self.base / "tokenizer_config.json", **changes)

    def settings(self, **changes: Any) -> None:
        change(self.adapter / "adapter_config.json", **changes)

    def pickled(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pickle.dumps(Touch(self.trace)))

    def saved_by_torch(self, path: Path) -> None:
        torch.save({"weight": Touch(self.trace)}, path)


def change(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file; `...` removes one."""
    settings = (json.loads(path.read_text()) if path.exists() else {}) | changes
    path.write_text(json.dumps({key: value for key, value in settings.items() if value is not ...}))


def replaced(path: Path, make: Callable[[Path], None]) -> None:
    path.unlink()
    make(path)


def linked(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def instead_of_weights(folders: Folders, name: str) -> None:
    (folders.base / "model.safetensors").unlink()
    folders.saved_by_torch(folders.base / name)


def an_index(folders: Folders, shard: str) -> None:
    (folders.base / "model.safetensors").unlink()
    folders.saved_by_torch(folders.base.parent / "base" / Path(shard).name)
    change(folders.base / "model.safetensors.index.json", metadata={}, weight_map={"model.norm.weight": shard})


def pickles_everywhere(folder: Path, folders: Folders) -> None:
    for name in ("pytorch_model", "training_args", "optimizer", "scheduler", "rng_state", "adapter_model", "vocab"):
        for suffix in PICKLES:
            folders.pickled(folder / f"{name}{suffix}")


def a_retriever(folders: Folders) -> None:
    folders.tokenizer(tokenizer_class="RagRetriever")
    folders.config(index_name="legacy", index_path=str(folders.base), passages_path=str(folders.base))
    folders.pickled(folders.base / "hf_bert_base.hnswSQ8_correct_phi_128.c_index.index_meta.dpr")


def templates(folders: Folders) -> None:
    attack = (
        "{{ ''.__class__.__mro__[1].__subclasses__() }}{{ cycler.__init__.__globals__.os.mkdir('"
        + str(folders.trace)
        + "') }}"
    )
    folders.tokenizer(chat_template=attack)
    (folders.base / "chat_template.jinja").write_text(attack)
    (folders.base / "additional_chat_templates").mkdir()
    (folders.base / "additional_chat_templates" / "tools.jinja").write_text(attack)


def modules_of_known_names(folders: Folders) -> None:
    for name in ("torch", "transformers", "modeling_llama", "configuration_llama", "tokenization_llama", "__init__"):
        (folders.base / f"{name}.py").write_text(CODE.format(trace=str(folders.trace)))
        (folders.adapter / f"{name}.py").write_text(CODE.format(trace=str(folders.trace)))


def custom_generation(folders: Folders) -> None:
    change(folders.base / "generation_config.json", custom_generate="own", auto_map=AUTO_MAP)
    (folders.base / "custom_generate").mkdir()
    (folders.base / "custom_generate" / "generate.py").write_text(CODE.format(trace=str(folders.trace)))


def processors(folders: Folders) -> None:
    folders.tokenizer(processor_class="AutoProcessor", tokenizer_class=...)
    for name in ("processor_config", "preprocessor_config", "video_preprocessor_config", "image_processor_config"):
        change(folders.base / f"{name}.json", auto_map=AUTO_MAP, processor_class="own.Own")


def another_base_in_the_adapter(folders: Folders) -> None:
    folders.config(auto_map=AUTO_MAP)
    folders.settings(base_model_name_or_path=str(folders.base), revision="own.Own")
    change(folders.adapter / "config.json", auto_map=AUTO_MAP, model_type="own")
    change(folders.adapter / "tokenizer_config.json", auto_map=AUTO_MAP, tokenizer_class="AutoProcessor")


def pickled_adapter(folders: Folders, name: str) -> None:
    (folders.adapter / "adapter_model.safetensors").unlink()
    folders.saved_by_torch(folders.adapter / name)


CASES: dict[str, Callable[[Folders], None]] = {
    **{
        f"auto_map {name}": lambda f, name=name: f.config(auto_map={name: AUTO_MAP[name]})
        for name in AUTO_MAP
    },
    "auto_map of another repository": lambda f: f.config(auto_map={"AutoModel": "evil/code--own.Own"}),
    "auto_map of an own type": lambda f: f.config(model_type="own", auto_map=AUTO_MAP),
    "auto_map of a part": lambda f: f.config(text_config={"model_type": "llama", "auto_map": AUTO_MAP}),
    "auto_map of a composite": lambda f: f.config(
        model_type="llava", text_config={"model_type": "own", "auto_map": AUTO_MAP}
    ),
    "kernels by _attn_implementation": lambda f: f.config(_attn_implementation=KERNELS),
    "kernels by attn_implementation": lambda f: f.config(attn_implementation=KERNELS),
    "kernels by the internal name": lambda f: f.config(_attn_implementation_internal=KERNELS),
    "kernels of experts": lambda f: f.config(experts_implementation=KERNELS, _experts_implementation=KERNELS),
    "use_kernels": lambda f: f.config(use_kernels=True, kernel_config={"LlamaRMSNorm": f"{KERNELS}:RMSNorm"}),
    "quantised by bitsandbytes": lambda f: f.config(quantization_config={"quant_method": "bitsandbytes"}),
    "quantised by an own method": lambda f: f.config(quantization_config={"quant_method": "own.Own"}),
    "quantised in a part": lambda f: f.config(text_config={"quantization_config": {"quant_method": "own.Own"}}),
    "an adapter in the base": lambda f: shutil.copy(f.adapter / "adapter_config.json", f.base),
    "custom pipelines": lambda f: f.config(custom_pipelines={"text-classification": {"impl": "own.Own"}}),
    "an own type of numbers": lambda f: f.config(dtype="own.Own", torch_dtype="__import__"),
    "an own activation": lambda f: f.config(hidden_act="own.Own"),
    "an own rope": lambda f: f.config(rope_parameters={"rope_type": "own.Own", "rope_theta": 1.0}),
    "an own loss": lambda f: f.config(loss_type="own.Own", problem_type="own.Own"),
    "methods by keys": lambda f: f.config(get_text_config="own.Own"),
    "a class by keys": lambda f: f.config(__class__="own.Own"),
    "names by keys": lambda f: f.config(attribute_map={"num_hidden_layers": "vocab_size"}),
    "parts by keys": lambda f: f.config(sub_configs={"text_config": "own.Own"}),
    "tokenizer auto_map, a list": lambda f: f.tokenizer(auto_map=["own.Own", "own.Own"]),
    "tokenizer auto_map": lambda f: f.tokenizer(auto_map=AUTO_MAP, tokenizer_class="OwnTokenizer"),
    **{
        f"tokenizer_class {name}": lambda f, name=name: (
            f.config(auto_map=AUTO_MAP), f.tokenizer(auto_map=AUTO_MAP, tokenizer_class=name)
        )
        for name in ("AutoProcessor", "AutoTokenizer", "AutoModel", "AutoConfig", "pipeline", "own.Own", "os")
    },
    "tokenizer_class in config.json": lambda f: (
        f.config(auto_map=AUTO_MAP, tokenizer_class="AutoProcessor"), f.tokenizer(tokenizer_class=...)
    ),
    "tokenizer_class of a retriever": a_retriever,
    "tokenizer_class with plugins": lambda f: f.tokenizer(
        tokenizer_class="BertJapaneseTokenizer", word_tokenizer_type="sudachi",
        sudachi_kwargs={"sudachi_config_path": str(f.base / "config.json")},
    ),
    "templates": templates,
    "processors": processors,
    "tokenizer files elsewhere": lambda f: f.tokenizer(fast_tokenizer_files=["../adapter/tokenizer.1.0.json"]),
    "tokenizer inputs": lambda f: f.tokenizer(init_inputs=["own.Own"], tokenizer_object="own.Own"),
    "a tokenizer of another format": lambda f: (
        f.tokenizer(gguf_file="own.gguf"), f.pickled(f.base / "own.gguf"), (f.base / "tokenizer.json").unlink()
    ),
    "a pickled tokenizer": lambda f: ((f.base / "tokenizer.json").unlink(), f.pickled(f.base / "tokenizer.model")),
    "an own tokenizer in its json": lambda f: change(f.base / "tokenizer.json", pre_tokenizer={"type": "own.Own"}),
    "pickles beside the weights": lambda f: pickles_everywhere(f.base, f),
    "pickled weights alone": lambda f: instead_of_weights(f, "pytorch_model.bin"),
    "pickled weights by another name": lambda f: instead_of_weights(f, "model.safetensors"),
    "pickled weights of old": lambda f: instead_of_weights(f, "model.ckpt.index"),
    "an index of pickles": lambda f: an_index(f, "evil.bin"),
    "an index that leads out": lambda f: an_index(f, "../evil.safetensors"),
    "modules of known names": modules_of_known_names,
    "generation": custom_generation,
    "a pipe for config.json": lambda f: replaced(f.base / "config.json", os.mkfifo),
    "endless brackets": lambda f: (f.base / "config.json").write_text('{"x": ' + "[" * 100_000),
    "endless brackets in the adapter": lambda f: (f.adapter / "adapter_config.json").write_text("[" * 100_000),
    "a device for tokenizer.json": lambda f: replaced(f.base / "tokenizer.json", linked("/dev/zero")),
    "a link out for tokenizer_config.json": lambda f: replaced(f.base / "tokenizer_config.json", linked("/etc/passwd")),
    "a link out for the weights": lambda f: replaced(f.base / "model.safetensors", linked("/etc/passwd")),
    "a pipe for a template": lambda f: os.mkfifo(f.base / "chat_template.jinja"),
    "a pipe for older settings": lambda f: os.mkfifo(f.base / "special_tokens_map.json"),
    "adapter: a pipe for its settings": lambda f: replaced(f.adapter / "adapter_config.json", os.mkfifo),
    "adapter: a device for its weights": lambda f: replaced(
        f.adapter / "adapter_model.safetensors", linked("/dev/zero")
    ),
    "adapter: a link out for its weights": lambda f: replaced(
        f.adapter / "adapter_model.safetensors", linked("../base/model.safetensors")
    ),
    "adapter: auto_mapping": lambda f: f.settings(auto_mapping={"base_model_class": "Own", "parent_library": "own"}),
    "adapter: megatron": lambda f: f.settings(megatron_config={"own": 1}, megatron_core="own"),
    "adapter: an own type": lambda f: f.settings(peft_type="OWN"),
    "adapter: an unknown key": lambda f: f.settings(custom_module="own.Own", auto_map=AUTO_MAP),
    "adapter: pickled": lambda f: pickled_adapter(f, "adapter_model.bin"),
    "adapter: pickled by another name": lambda f: pickled_adapter(f, "adapter_model.safetensors"),
    "adapter: pickles beside it": lambda f: pickles_everywhere(f.adapter, f),
    "adapter: another base": another_base_in_the_adapter,
    "adapter: caches of its start": lambda f: (
        f.settings(corda_config={"cache_file": str(f.adapter / "c.pt"), "covariance_file": str(f.adapter / "c.pt")},
                   eva_config={"rho": 2.0}, lora_ga_config={"cache_file": str(f.adapter / "c.pt")}),
        f.saved_by_torch(f.adapter / "c.pt"),
    ),
    "adapter: a start of its own": lambda f: f.settings(init_lora_weights="own.Own", loftq_config={"own": "Own"}),
    "adapter: a runtime of its own": lambda f: f.settings(runtime_config={"ephemeral_gpu_offload": True}),
    "adapter: classes for modules": lambda f: f.settings(_custom_modules={"Linear": "own.Own"}),
}  # fmt: skip


class Watch:
    """What an audit hook notes while a command runs; the hook stays for the life of the process."""

    def __init__(self) -> None:
        self.root: str | None = None
        self.found: list[str] = []
        sys.addaudithook(self._note)

    @contextmanager
    def over(self, root: Path) -> Iterator[list[str]]:
        """Note what concerns files under this folder, or anybody's standard input."""
        self.root, self.found, before = str(root), [], sys.stdin
        sys.stdin = io.StringIO("y\n" * 100)
        try:
            yield self.found
            if sys.stdin.tell():
                self.found.append("the standard input was read")
        finally:
            self.root, sys.stdin = None, before

    def _note(self, event: str, details: tuple[Any, ...]) -> None:
        if self.root is None:
            return
        if event in ("builtins.input", "pickle.find_class", "os.system", "os.exec"):
            self.found.append(f"{event} {details[:2]}")
        if event == "open" and isinstance(details[0], str | os.PathLike):
            path = os.fspath(details[0])
            if isinstance(path, str) and path.startswith(self.root) and path.endswith((*PICKLES, ".py", ".pyc")):
                self.found.append(f"opened {path}")

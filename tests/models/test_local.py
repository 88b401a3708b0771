"""What `model_name` may be without a hub: the embedded model, a folder, a GGUF file."""

import os
import re

import huggingface_hub
import pytest

from ensemble_uq_llm.config import Config
from ensemble_uq_llm.config_file import with_absolute_paths
from ensemble_uq_llm.errors import ModelError
from ensemble_uq_llm.models import base
from ensemble_uq_llm.models.base import find_base
from ensemble_uq_llm.models.base_files import base_files, path_of
from ensemble_uq_llm.models.local import embedded_folder, hub_parts, hub_patterns, local_folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    for name in ("tiny.gguf", "models/tiny.Q8_0.gguf", "models/notes.txt"):
        (tmp_path / name).write_bytes(b"GGUF")
    return tmp_path


@pytest.mark.parametrize("name", ["tiny.gguf", "models/tiny.Q8_0.gguf", "./tiny.gguf", "models/../tiny.gguf"])
def test_a_file_is_a_base_wherever_it_lies(here, name):
    path = local_folder(name)

    assert path.samefile(name)
    assert path == find_base(name, revision=None, cache_dir=None)
    assert list(base_files(path)) == [path.name]
    assert path_of(path, path.name) == path_of(path, "") == path
    assert with_absolute_paths(Config(model_name=name)).model_name == str((here / name).resolve())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tinny.gguf", "there is no file tinny.gguf; did you mean 'tiny.gguf'?"),
        ("models/tiny.Q4_0.gguf", "there is no file models/tiny.Q4_0.gguf; did you mean 'tiny.Q8_0.gguf'?"),
        (
            "/no/such/x.gguf",
            "there is no file /no/such/x.gguf; correct the path, or name one on the hub as owner/model/",
        ),
        ("~/no/such/x.gguf", "there is no file ~/no/such/x.gguf; correct the path"),
        ("models", "is a folder without config.json, so not a Hugging Face model; name the GGUF file in it: "),
        ("models/notes.txt", "is a file; give the folder that holds it, or a file that ends in .gguf"),
    ],
)
def test_what_is_no_base_is_named(here, name, message):
    with pytest.raises(ModelError, match=rf"^model_name: .*{re.escape(message)}"):
        local_folder(name)


def test_of_several_gguf_files_in_a_folder_one_is_to_be_named(here):
    (here / "models" / "other.gguf").write_bytes(b"GGUF")

    with pytest.raises(ModelError, match=r"; name one of the 2 GGUF files in it, such as .*models/other.gguf$"):
        local_folder("models")


def test_a_pipe_is_not_waited_for_and_a_link_is_followed(here):
    os.mkfifo(here / "pipe.gguf")
    (here / "link.gguf").symlink_to(here / "models" / "tiny.Q8_0.gguf")
    (here / "loose.gguf").symlink_to(here / "nowhere.gguf")

    assert list(base_files(local_folder("link.gguf"))) == ["link.gguf"]
    with pytest.raises(ModelError, match=r"pipe.gguf is a pipe, and must be a file"):
        local_folder("pipe.gguf")
    with pytest.raises(ModelError, match=r"loose.gguf cannot be read"):
        local_folder("loose.gguf")


def test_the_embedded_model_is_a_folder():
    assert local_folder("embedded") == embedded_folder()
    assert local_folder("owner/name") is None


def test_a_file_on_the_hub_is_downloaded_alone(here, monkeypatch):
    asked = []

    def download(name, **how):
        asked.append((name, how["allow_patterns"]))
        return here / "models"

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setattr(base, "why_hub_is_silent", lambda: None)

    found = find_base("owner/name/tiny.Q8_0.gguf", revision=None, cache_dir=None, weights=False)

    assert found == here / "models" / "tiny.Q8_0.gguf"
    assert asked == [("owner/name", ["tiny.Q8_0.gguf"])]
    assert hub_patterns("[a]*.gguf") == ["[[]a][*].gguf"]  # the name of one file, whatever is in it
    assert hub_parts("owner/name/sub/x.gguf") == ("owner/name", "sub/x.gguf")
    assert hub_parts("owner/name") == ("owner/name", None)
    with pytest.raises(ModelError, match=r"here, and none 'other.gguf' in 'owner/name' on the hub; correct the path"):
        find_base("owner/name/other.gguf", revision=None, cache_dir=None)

    monkeypatch.setattr(base, "why_hub_is_silent", lambda: "nobody answers")
    with pytest.raises(ModelError, match=r"no file owner/name/other.gguf here nor in the cache, and nobody answers"):
        find_base("owner/name/other.gguf", revision=None, cache_dir=None)

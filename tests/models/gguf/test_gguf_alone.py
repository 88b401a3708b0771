from ensemble_uq_llm.models.gguf.gguf_alone import alone


def test_a_file_is_alone_and_its_folder_gone_afterwards(tmp_path):
    (tmp_path / "a.gguf").write_text("weights")
    (tmp_path / "tokenizer_config.json").write_text("{}")

    with alone(tmp_path / "a.gguf") as (folder, name):
        assert [each.name for each in folder.iterdir()] == [name]
        assert (folder / name).read_text() == "weights"

    assert not folder.exists()
    assert (tmp_path / "a.gguf").exists()

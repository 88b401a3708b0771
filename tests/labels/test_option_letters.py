from ensemble_uq_llm.labels.option_letters import LETTERS, lettered, names_options


def test_options_stand_a_line_each_under_their_letters():
    assert lettered(["red", "blue", "green"]) == "A. red\nB. blue\nC. green"
    assert (LETTERS[0], LETTERS[25], len(LETTERS)) == ("A", "Z", 26)


def test_a_template_names_options_only_in_braces():
    assert names_options("{question}\n{options}\nAnswer:")
    assert not names_options("{question} (options: {other})")

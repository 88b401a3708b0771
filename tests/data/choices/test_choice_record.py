from ensemble_uq_llm.data.choices.choice_record import ChoiceRecord


def test_the_letters_of_a_row_are_told_in_words():
    assert ChoiceRecord(line=1, values={}, options=("x", "y", "z")).letters == "A to C"

import json

import numpy as np

from ensemble_uq_llm.data.embedded.synthetic import generate
from posterior_bench.world.worlds import SHIFTS, UNANSWERABLE, World


def test_a_file_holds_the_stream_of_its_seed_and_its_truth_is_by_id(tmp_path):
    world = World(folder=tmp_path, seed=3, test_rows=20)
    rows = [json.loads(line) for line in world.test_file("unknown_words").read_text().splitlines()]
    examples = generate("unknown_words", n=20, seed=3)
    assert [row["id"] for row in rows] == [each.id for each in examples]
    assert [row["answer"] for row in rows] == [bool(each.label) for each in examples]
    ids = [row["id"] for row in rows[::-1]]
    truth = world.truth("validation", [each.id for each in generate("validation", n=20, seed=3)][::-1])
    np.testing.assert_array_equal(truth, [each.true_probs for each in generate("validation", n=20, seed=3)][::-1])
    np.testing.assert_array_equal(world.truth("unknown_words", ids), np.full((20, 2), 0.5))


def test_other_seeds_are_other_questions_and_a_smaller_set_begins_a_larger(tmp_path):
    texts = {
        (seed, rows): World(folder=tmp_path, seed=seed).training_file(rows).read_text().splitlines()
        for seed in (1, 2)
        for rows in (10, 30)
    }
    assert texts[1, 30][:10] == texts[1, 10]
    assert not set(texts[1, 30]) & set(texts[2, 30])


def test_detection_is_averaged_over_what_nobody_could_answer():
    assert set(UNANSWERABLE) == set(SHIFTS) - {"long_passages"}

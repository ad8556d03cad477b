import numpy as np

from jdl.data.pronunciation import LETTERS, PHONEMES, pronunciation_loader, pronunciations

WORDS = ["read", "a"]
LINES = ["R EH1 D\nR IY1 D\nR EH0 D", "AH0\nEY1"]


def test_there_are_the_39_phonemes_of_arpabet():
    assert len(PHONEMES.symbols) == 39
    assert len(LETTERS.symbols) == 27


def test_stress_is_left_out_and_what_then_is_the_same_comes_once():
    assert pronunciations(LINES[0]) == [("R", "EH", "D"), ("R", "IY", "D")]


def pairs(batch):
    return [
        ("".join(LETTERS.decode(s)), " ".join(PHONEMES.decode(t)))
        for s, t in zip(batch["source"], batch["target"])
    ]


def test_a_word_comes_with_its_first_pronunciation():
    loader = pronunciation_loader(WORDS, LINES, 2, boundaries=[4])
    assert pairs(next(loader.eval_batches())) == [("read", "R EH D"), ("a", "AH")]


def test_or_once_with_every_pronunciation():
    loader = pronunciation_loader(WORDS, LINES, 4, boundaries=[4], every=True)
    batch = next(loader.eval_batches())
    assert pairs(batch) == [("read", "R EH D"), ("read", "R IY D"), ("a", "AH"), ("a", "EY")]
    assert batch["references_length"].tolist() == [[3, 3], [3, 3], [1, 1], [1, 1]]
    assert [" ".join(PHONEMES.decode(r)) for r in batch["references"][1]] == ["R EH D", "R IY D"]


def test_every_word_is_measured_against_all_its_pronunciations():
    loader = pronunciation_loader([*WORDS, "b"], [*LINES, "B IY1"], 3, boundaries=[4])
    batch = next(loader.eval_batches())
    assert batch["references"].shape == (3, 2, 3)
    assert batch["references_length"].tolist() == [[3, 3], [1, 1], [2, 0]]
    assert [" ".join(PHONEMES.decode(r)) for r in batch["references"][0]] == ["R EH D", "R IY D"]
    np.testing.assert_array_equal(batch["target"][:, :3], batch["references"][:, 0])

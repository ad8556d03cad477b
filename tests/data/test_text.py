import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jdl.data import BytePairTokenizer, CharacterTokenizer, TokenWindowLoader
from jdl.errors import UserError


@given(st.text(min_size=1))
def test_text_survives_the_round_trip(text):
    tokenizer = CharacterTokenizer(text)
    ids = tokenizer.encode(text)
    assert ids.dtype == np.int32
    assert len(ids) == len(text)
    assert tokenizer.decode(ids) == text
    again = CharacterTokenizer.from_dict(json.loads(json.dumps(tokenizer.to_dict())))
    assert again.encode(text).tolist() == ids.tolist()


def test_ids_are_places_among_the_sorted_characters():
    tokenizer = CharacterTokenizer("banana")
    assert tokenizer.characters == "abn"
    assert tokenizer.encode("nab").tolist() == [2, 0, 1]
    assert tokenizer.vocabulary_size == 3


def test_unknown_characters():
    tokenizer = CharacterTokenizer("abc")
    with pytest.raises(UserError, match=r"character 'é' at position 2 .* \(2 unknown in all\)"):
        tokenizer.encode("abé\U0001f600")
    assert tokenizer.encode("aéb\U0001f600", unknown_id=2).tolist() == [0, 2, 1, 2]
    with pytest.raises(UserError, match=r"ids must lie in 0..2"):
        tokenizer.decode([0, 3])
    with pytest.raises(UserError, match="at least one character"):
        CharacterTokenizer("")


def test_training_windows_depend_on_seed_and_step_alone():
    def loader(seed=0):
        return TokenWindowLoader(np.arange(1000), window=8, batch_size=6, seed=seed)

    ahead = loader().train_batches(3)
    next(ahead)
    np.testing.assert_equal(next(ahead), next(loader().train_batches(4)))
    first, other = next(loader().train_batches()), next(loader(seed=1).train_batches())
    assert (first["tokens"] != other["tokens"]).any()
    halves = [next(loader().train_batches(0, rows)) for rows in (slice(0, 2), slice(2, 6))]
    for name, array in first.items():
        np.testing.assert_array_equal(array, np.concatenate([half[name] for half in halves]))


def test_training_windows_are_pieces_of_the_text():
    loader = TokenWindowLoader(np.arange(20), window=8, batch_size=500)
    batch = next(loader.train_batches())
    assert batch["tokens"].shape == (500, 9)
    assert (np.diff(batch["tokens"], axis=1) == 1).all()
    assert set(batch["tokens"][:, 0]) == set(range(12))  # every place is reached, the last too
    assert batch["token_mask"].min() == batch["mask"].min() == 1.0


@given(count=st.integers(2, 60), window=st.integers(1, 12), batch_size=st.integers(1, 5))
def test_evaluation_predicts_every_token_but_the_first_once(count, window, batch_size):
    if count < window + 1:
        return
    loader = TokenWindowLoader(np.arange(count), window, batch_size)
    targets, inputs = [], []
    for batch in loader.eval_batches():
        assert batch["tokens"].shape == (batch_size, window + 1)
        real = batch["token_mask"] == 1
        targets += batch["tokens"][:, 1:][real].tolist()
        inputs += batch["tokens"][:, :-1][real].tolist()
        np.testing.assert_array_equal(batch["mask"], real.any(1))
    assert targets == list(range(1, count))
    assert inputs == list(range(count - 1))


def test_text_shorter_than_a_window():
    with pytest.raises(UserError, match=r"8 tokens is too short for a window of 8 .it takes 9"):
        TokenWindowLoader(np.arange(8), window=8, batch_size=1)


@pytest.fixture(scope="module")
def byte_pairs():
    return BytePairTokenizer("the cat sat on the mat, the rat sat on the cat. " * 5, 280)


@given(text=st.text())
def test_byte_pairs_know_every_character(byte_pairs, text):
    text = text.encode("utf-8", "replace").decode()  # Lone surrogates are no text.
    ids = byte_pairs.encode(text)
    assert ids.dtype == np.int32
    assert byte_pairs.decode(ids) == text
    assert byte_pairs.token_lengths[ids].sum() == len(text)


def test_byte_pairs_are_learned_from_the_text_alone(byte_pairs):
    text = "the cat sat on the mat, the rat sat on the cat. " * 5
    again = BytePairTokenizer(text, 280)
    assert again.to_dict() == byte_pairs.to_dict()
    ids = byte_pairs.encode("the cat")
    assert len(ids) == 2
    assert byte_pairs.vocabulary_size <= 280
    assert len(byte_pairs.token_lengths) == byte_pairs.vocabulary_size
    assert len(BytePairTokenizer("dog " * 9, 280).encode("the cat")) == 7


def test_byte_pairs_are_kept_as_json(byte_pairs):
    again = BytePairTokenizer.from_dict(json.loads(json.dumps(byte_pairs.to_dict())))
    assert again.encode("the mat é").tolist() == byte_pairs.encode("the mat é").tolist()
    assert again.vocabulary_size == byte_pairs.vocabulary_size


def test_bad_byte_pairs_are_refused(byte_pairs):
    with pytest.raises(UserError, match="at least one character"):
        BytePairTokenizer("", 300)
    with pytest.raises(UserError, match="100 has no room for the 256 bytes"):
        BytePairTokenizer("text", 100)
    with pytest.raises(UserError, match="ids must lie in"):
        byte_pairs.decode([byte_pairs.vocabulary_size])

"""Joint n-grams of letters and what they stand for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jdl.data.sequences import pad_sequences
from jdl.ops.alignment import Pairs
from jdl.ops.joint_ngram import fit_joint_ngram

# "c" is an S before "e" and a K before "a"; "x" is K and S; a last "e" is silent.
LETTERS, SOUNDS = "acex", "AEKS"
WORDS = {
    "ca": "KA",
    "cec": "SEK",
    "xa": "KSA",
    "axe": "AKS",
    "ace": "AS",
    "ax": "AKS",
    "cax": "KAKS",
}


def pairs(words):
    sides = []
    for symbols, texts in ((LETTERS, words), (SOUNDS, words.values())):
        ids = [[symbols.index(c) + 1 for c in text] for text in texts]
        sides += [pad_sequences(ids, 8), np.array(list(map(len, ids)))]
    return Pairs(*sides)


@pytest.fixture(scope="module")
def model():
    return fit_joint_ngram(pairs(WORDS), len(LETTERS) + 1, len(SOUNDS) + 1, order=3)


def log_prob(model, spelt, *spoken):
    several = [pairs({spelt: each}) for each in spoken]
    together = Pairs(*map(np.concatenate, zip(*several)))
    return jax.jit(lambda p: model.log_prob(p))(jax.tree.map(jnp.asarray, together)).tolist()


@pytest.mark.parametrize(
    ("spelt", "right", "wrong"),
    [
        ("cace", "KAS", "SAS"),
        ("cex", "SEKS", "KEKS"),
        ("axa", "AKSA", "AKA"),
        ("xace", "KSAS", "KSAK"),
    ],
)
def test_new_words_are_likeliest_as_the_known_ones_are_spoken(model, spelt, right, wrong):
    likely, unlikely = log_prob(model, spelt, right, wrong)
    assert likely > unlikely + 0.5


def test_what_is_too_long_is_unlikely_but_not_impossible(model):
    """Three sounds for one letter cannot be aligned, and it is not that the letter is silent."""
    silent, impossible, likewise = log_prob(model, "e", "", "KSA", "SES")
    assert impossible == likewise
    assert np.isfinite(impossible)
    assert impossible < silent - 1


def test_batches_change_nothing(model, monkeypatch):
    monkeypatch.setattr("jdl.ops.joint_ngram.BATCH", 2)
    cut = fit_joint_ngram(pairs(WORDS), len(LETTERS) + 1, len(SOUNDS) + 1, order=3)
    np.testing.assert_allclose(cut.log_q, model.log_q, rtol=1e-4)
    np.testing.assert_array_equal(cut.seen, model.seen)
    np.testing.assert_allclose(
        log_prob(cut, "cex", "SEKS"), log_prob(model, "cex", "SEKS"), rtol=1e-5
    )

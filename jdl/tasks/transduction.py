"""Transduction: one sequence is turned into another."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Int, Key, PyTree

from jdl.data.sequences import pad_sequences
from jdl.data.vocabulary import END, Vocabulary
from jdl.errors import UserError
from jdl.ops.alignment import Pairs
from jdl.ops.edit_distance import edit_distance
from jdl.ops.joint_ngram import JointNGram
from jdl.ops.random import per_example_keys, piece_key
from jdl.ops.search import (
    Coverage,
    beam_search,
    greedy_search,
    length_normalizer,
    repeat_rows,
)
from jdl.ops.sequences import length_before, reversed_within
from jdl.train.gradients import mean_gradients
from jdl.train.metrics import Mean, Metrics, mean
from jdl.train.state import AveragedState
from jdl.train.task import Batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True, eq=False)
class Transduction:
    """The mean negative log-likelihood of each target token given the source and those before it.

        q = (1 − α)·onehot(y) + α/V                                                 (1)
        L = −(1/T) Σₜ Σ_v qₜ log p(v | y₁ … yₜ₋₁, x)                                 (2)

    the end counting as a token. What is measured is an average of the weights (`AveragedState`): by
    (2) with α = 0, and by what a search finds, greedy in validation and a beam in the test:

        sequence error = the share of outputs that equal none of their references   (3)
        token error = Σ edits to the nearest reference / Σ that reference's length  (4)

    In grapheme-to-phoneme conversion these are the word and the phoneme error rate (WER, PER).

    A batch has "source" [batch, s] and "target" [batch, t], with "source_length" and
    "target_length"; and where there are several right answers, "references" [batch, r, t] with
    "references_length" [batch, r], 0 where there are fewer. Sequences are numbered from 1; 0 ends
    and pads them.

    Where the model has a second decoder, which writes from the end (`backward`), it learns the
    same, and what a beam of the first one finds is ranked by both (Liu et al., 2016); a joint
    n-gram model q may add its opinion (Rao et al., 2015),

        s(Y) = (½ (log p→(Y) + log p←(Y)) + λ log q(X, Y)) / lp(Y)                   (5)

    where lp is `jdl.ops.search.length_normalizer`.

    With scheduled sampling, the decoder is fed its own draws instead of the target, each with
    probability ε(n) at update n; it then runs step by step in training too.

    Args:
        model: has `encode`, `initial_carry` and `step`, as `jdl.models.sequence.seq2seq.Seq2Seq`.
        optimizer: an optax transformation.
        source: the symbols of the source.
        target: the symbols of the target.
        max_length: of what a search writes.
        separator: between the symbols of a written target.
        label_smoothing: α.
        ema: the share of the average that an update keeps.
        width: of the beam.
        length_penalty: of the beam, as in `jdl.ops.search.beam_search`.
        coverage_penalty: of the beam; it needs a model that gives its attention, one decoder,
            and no joint model.
        joint: q.
        joint_weight: λ.
        shown: sources whose alignments are drawn; some of the test's when there are none.
        scheduled_sampling: ε; without it the target is always fed ("teacher forcing").

    Source: (3) and (4): Yao and Zweig, 2015, https://arxiv.org/abs/1506.00196; (5): Liu et al.,
    2016, https://doi.org/10.1609/aaai.v30i1.10327; Rao et al., 2015,
    https://doi.org/10.1109/ICASSP.2015.7178767; scheduled sampling: Bengio et al., 2015,
    https://arxiv.org/abs/1506.03099.
    """

    model: nn.Module
    optimizer: optax.GradientTransformation
    source: Vocabulary
    target: Vocabulary
    max_length: int
    separator: str = " "
    label_smoothing: float = 0.1
    ema: float = 0.999
    width: int = 5
    length_penalty: float = 0.0
    coverage_penalty: float = 0.0
    joint: JointNGram | None = None
    joint_weight: float = 0.35
    shown: Sequence[Sequence[str]] = ()
    scheduled_sampling: optax.Schedule | None = None

    def __post_init__(self) -> None:
        """Refuses what does not go together."""
        if self.backward and self.scheduled_sampling is not None:
            raise UserError("scheduled sampling feeds one decoder, and this model has two")
        if self.coverage_penalty and (self.backward or self.joint is not None):
            raise UserError("a coverage penalty is of one decoder, but others rank this beam too")

    @property
    def backward(self) -> bool:
        """Whether the model has a second decoder."""
        return getattr(self.model, "backward", False)

    @property
    def writer(self) -> Any:
        """What writes and is measured, asked by `apply` as the model is."""
        return self.model

    def init(self, key: Key[Array, ""], batch: Batch) -> AveragedState:
        """Initialises the network on the batch's shapes."""
        inputs, _, _ = self._shifted(batch)
        variables = self.model.init(key, batch["source"], batch["source_length"], *inputs)
        return AveragedState.create(variables, self.optimizer)

    def train_step(
        self, state: AveragedState, batch: Batch, key: Key[Array, ""]
    ) -> tuple[AveragedState, Metrics]:
        """One update."""
        loss = partial(self._loss, state.step)
        gradients, _, metrics = mean_gradients(loss, state.params, state.model_state, batch, key)
        return state.apply(gradients, self.optimizer).averaged(self.ema), metrics

    def _loss(self, step, params, model_state, batch: Batch, key: Key[Array, ""]):
        inputs, targets, mask = self._shifted(batch)
        dropout_key, draw_key = jax.random.split(key)
        variables = {"params": params, **model_state}
        random = {"dropout": piece_key(dropout_key, batch["row"])}
        if self.scheduled_sampling is None:
            source = batch["source"], batch["source_length"]
            logits = self._logits(self.model, variables, *source, *inputs, train=True, rngs=random)
        else:
            share = self.scheduled_sampling(step)
            logits = self._own_draws(variables, batch, inputs[0], share, draw_key, random)
            logits = logits.astype(jnp.float32)
        # (2) without an array of q, which a large vocabulary makes the largest of all.
        alike = jax.nn.logsumexp(logits, axis=-1) - logits.mean(-1)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
        loss = mean(losses + self.label_smoothing * (alike - losses), mask)
        right = mean(logits.argmax(-1) == targets, mask)
        return loss, (model_state, {"loss": loss, "accuracy": right})

    def _shifted(self, batch: Batch) -> tuple[list[Array], Array, Array]:
        """As `_shifted`, of each decoder; targets and masks of the second after the first's."""
        ways = [_shifted(batch)]
        if self.backward:
            target = reversed_within(batch["target"], batch["target_length"])
            ways.append(_shifted(batch | {"target": target}))
        inputs, targets, masks = zip(*ways)
        return list(inputs), jnp.concatenate(targets), jnp.concatenate(masks)

    def _logits(self, model: Any, variables: PyTree, *inputs: Array, **options: Any) -> Array:
        """Applies the model; logits of the second decoder come after the first's."""
        logits = model.apply(variables, *inputs, **options)
        logits = jnp.concatenate(logits) if self.backward else logits
        return logits.astype(jnp.float32)

    def _own_draws(self, variables, batch, inputs, share, key, random) -> Array:
        """Logits where some of the inputs are drawn from the step before."""
        apply = partial(self.model.apply, variables)
        source = batch["source"], batch["source_length"]
        memory = apply(*source, train=True, rngs=random, method="encode")
        keys = per_example_keys(key, batch["row"])

        def step(state, here):
            carry, drawn = state
            given, time = here
            moment = jax.vmap(jax.random.fold_in, (0, None))(keys, time)
            own = jax.vmap(lambda k: jax.random.bernoulli(k, share))(moment) & (time > 0)
            fed = jnp.where(own, drawn, given)
            logits, carry, _ = apply(memory, carry, fed, method="step")
            drawn = jax.vmap(lambda k, row: jax.random.categorical(jax.random.fold_in(k, 1), row))(
                moment, jax.lax.stop_gradient(logits.astype(jnp.float32))
            )
            return (carry, drawn.astype(given.dtype)), logits

        start = apply(memory, method="initial_carry"), inputs[:, 0]
        _, logits = jax.lax.scan(step, start, (inputs.T, jnp.arange(inputs.shape[1])))
        return logits.swapaxes(0, 1)

    def eval_step(self, state: AveragedState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """The loss, and what greedy search gets wrong."""
        inputs, targets, mask = _shifted(batch)
        source = batch["source"], batch["source_length"]
        logits = self.writer.apply(state.average, *source, inputs).astype(jnp.float32)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
        tokens, _ = self._greedy(state.average, *source)
        return {"loss": mean(losses, mask), **_errors(tokens, batch)}

    def test_step(self, state: AveragedState, batch: Batch, key: Key[Array, ""]) -> Metrics:
        """The same with the best sequence of a beam."""
        tokens, _ = self._candidates(state.average, batch["source"], batch["source_length"])
        return self.eval_step(state, batch, key) | _errors(tokens[:, 0], batch)

    def _greedy(self, variables: PyTree, source, source_length) -> tuple[Array, Array | None]:
        """Searches; returns the tokens, and where they looked, [batch, time, source]."""
        apply = partial(self.writer.apply, variables)
        memory = apply(source, source_length, method="encode")
        first = jnp.full(source.shape[:1], END, jnp.int32)
        carry = apply(memory, method="initial_carry")
        tokens = greedy_search(
            lambda carry, last: apply(memory, carry, last, method="step")[:2],
            carry,
            first,
            end=END,
            length=self.max_length,
        )

        def look(carry, last):
            _, carry, attention = apply(memory, carry, last, method="step")
            return carry, attention

        inputs = jnp.concatenate([first[:, None], tokens[:, :-1]], axis=1)
        attention = jax.lax.scan(look, carry, inputs.T)[1]
        return tokens, None if attention is None else attention.swapaxes(0, 1)

    def _beam(self, variables: PyTree, source, source_length) -> tuple[Array, Array]:
        apply = partial(self.writer.apply, variables)
        memory = apply(source, source_length, method="encode")
        memories = repeat_rows(memory, self.width)

        def step(state, last):
            carry, _ = state
            logits, carry, attention = apply(memories, carry, last, method="step")
            return logits, (carry, attention if self.coverage_penalty else ())

        there = jnp.arange(source.shape[1])[None] < source_length[:, None]
        unseen: Any = jnp.zeros(source.shape) if self.coverage_penalty else ()
        return beam_search(
            step,
            (apply(memory, method="initial_carry"), unseen),
            jnp.full(source.shape[:1], END, jnp.int32),
            end=END,
            length=self.max_length,
            width=self.width,
            length_penalty=self.length_penalty,
            coverage=Coverage(self.coverage_penalty, lambda carry: carry[1], there)
            if self.coverage_penalty
            else None,
        )

    def check(self, sources: Sequence[Sequence[str]]) -> None:
        """Refuses sources that cannot be read.

        Raises:
            UserError: a source is empty, or has a symbol that is not in the vocabulary.
        """
        for source in sources:
            if not len(self.source.encode(source)):
                raise UserError("there is nothing to read in an empty sequence")

    def transduce(
        self, state: AveragedState, sources: Sequence[Sequence[str]]
    ) -> list[list[tuple[str, float]]]:
        """Turns sequences of symbols into others.

        Args:
            state: of this task.
            sources: symbols of each, such as the letters of a word.

        Returns:
            Of each source the sequences of the beam, best first, each with its probability, or the
            geometric mean of both decoders'.

        Raises:
            UserError: as `check`.
        """
        self.check(sources)
        encoded = [self.source.encode(source) for source in sources]
        source = jnp.asarray(pad_sequences(encoded))
        length = jnp.array([len(ids) for ids in encoded])
        tokens, probabilities = jax.jit(self._candidates)(state.average, source, length)
        return [
            [(self.separator.join(self.target.decode(ids)), p) for ids, p in zip(*row)]
            for row in zip(np.asarray(tokens), np.asarray(probabilities).tolist())
        ]

    def _candidates(self, variables: PyTree, source, source_length) -> tuple[Array, Array]:
        """Searches; returns the tokens of the beam, [batch, width, time], and p of each."""
        found, _ = self._beam(variables, source, source_length)
        tokens = found.reshape(-1, found.shape[-1])
        batch = {
            "target": tokens,
            "target_length": length_before(tokens, END),
            "mask": jnp.ones(len(tokens)),
        }
        # What has not ended in time is not rated by an end.
        shifted = jax.tree.map(lambda leaf: leaf[:, : tokens.shape[1]], self._shifted(batch))
        inputs, targets, mask = shifted
        source, source_length = repeat_rows((source, source_length), self.width)
        logits = self._logits(self.writer, variables, source, source_length, *inputs)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, targets)
        log_p = -(losses * mask).sum(-1).reshape(-1, *found.shape[:2]).mean(0)
        if self.backward or self.joint is not None:
            steps = batch["target_length"].reshape(log_p.shape) + 1
            scores = log_p
            if self.joint is not None:
                pairs = Pairs(source, source_length, tokens, batch["target_length"])
                joint = self.joint.log_prob(pairs).reshape(log_p.shape)
                scores = scores + self.joint_weight * joint
            scores = scores / length_normalizer(steps, self.length_penalty)  # (5)
            order = jnp.argsort(scores, axis=1, descending=True)
            found = jnp.take_along_axis(found, order[..., None], axis=1)
            log_p = jnp.take_along_axis(log_p, order, axis=1)
        return found, jnp.exp(log_p)

    def figures(
        self, state: AveragedState, batch: Batch, key: Key[Array, ""]
    ) -> "dict[str, Figure]":
        """Where the decoder looked as it wrote each symbol, if it has attention."""
        from jdl.tasks.drawing import alignment_figure

        sources, lengths = np.asarray(batch["source"]), np.asarray(batch["source_length"])
        if self.shown:
            encoded = [self.source.encode(source) for source in self.shown]
            sources, lengths = pad_sequences(encoded), np.array([len(ids) for ids in encoded])
        else:
            # Long sequences have most to show.
            chosen = np.argsort(-lengths, kind="stable")[:8]
            sources, lengths = sources[chosen], lengths[chosen]
        search = jax.jit(self._greedy)
        tokens, attention = search(state.average, jnp.asarray(sources), jnp.asarray(lengths))
        if attention is None:
            return {}
        read, written = (
            map(self.source.decode, sources),
            map(self.target.decode, np.asarray(tokens)),
        )
        examples = list(zip(read, written, np.asarray(attention)))
        return {"alignments": alignment_figure(examples)}


def _shifted(batch: Batch) -> tuple[Array, Array, Array]:
    """Returns the decoder's inputs, what it has to say after each, and which of it counts."""
    target, length = batch["target"], batch["target_length"]
    place = jnp.arange(target.shape[1] + 1)[None]
    targets = jnp.pad(target, ((0, 0), (0, 1)), constant_values=END)
    targets = jnp.where(place < length[:, None], targets, END)
    inputs = jnp.pad(targets[:, :-1], ((0, 0), (1, 0)), constant_values=END)
    there = (place <= length[:, None]).astype(jnp.float32)
    return inputs, targets, there * batch["mask"][:, None]


def _errors(tokens: Int[Array, "batch steps"], batch: Batch) -> Metrics:
    """Compares what was written with the nearest reference, by (3) and (4)."""
    references, lengths = batch["target"][:, None], batch["target_length"][:, None]
    if "references" in batch:
        references, lengths = batch["references"], batch["references_length"]
    shape = *references.shape[:2], tokens.shape[1]
    edits = edit_distance(
        jnp.broadcast_to(tokens[:, None], shape),
        jnp.broadcast_to(length_before(tokens, END)[:, None], shape[:2]),
        references,
        lengths,
    )
    # Where there is no reference, none is nearest.
    edits = jnp.where((lengths == 0) & (jnp.arange(shape[1])[None] > 0), 10**6, edits)
    nearest = edits.argmin(-1)[:, None]
    edits, lengths = (jnp.take_along_axis(a, nearest, 1)[:, 0] for a in (edits, lengths))
    mask = batch["mask"]
    return {
        "sequence_error": mean(edits > 0, mask),
        "token_error": Mean((edits * mask).sum(), (lengths * mask).sum()),
    }

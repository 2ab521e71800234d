"""Writes captions: greedy, top-k and beam search, batched, as one compiled graph on either backend.

In array names B counts pictures, K beams, T steps (the last word of the longest caption is followed by
``<end>``), P grid positions, V entries of the vocabulary.
"""

from __future__ import annotations

from typing import Any, Protocol

import keras
from keras import ops

from captioner.config import END, PAD, START, UNKNOWN

# Stands for minus infinity: sums and quotients of it stay finite, so nothing becomes NaN.
NEVER = -1e9


class Network(Protocol):
    """What a search needs of a captioning network; see ``captioner.model.network.Captioner``."""

    vocab_size: int

    def encode(self, features_BxPxC: Any) -> tuple[Any, Any]: ...

    def step(self, ids_BxK: Any, states_BxKxU: Any, keys_BxPxA: Any) -> tuple[Any, Any, Any]: ...


class Search(keras.Model):
    """What both searches share.

    Args:
        network: gives the logits.
        max_length: words at most; the step after the last one can only be ``<end>``.
        min_length: words at least.
    """

    def __init__(self, network: Network, max_length: int, min_length: int) -> None:
        super().__init__()
        self.network = network
        self.steps = max_length + 1
        self.min_length = min(min_length, max_length)

    def build(self, _shape: Any) -> None:
        """The network brings all weights."""
        self.built = True

    def log_probabilities(self, logits_BxKxV: Any, step: Any, temperature: float = 1.0) -> Any:
        """log p of the next word, without what may never be produced, or not at this step.

        The words that are left share all of the probability.
        """
        id_V = ops.arange(self.network.vocab_size)
        is_end = id_V == END
        never = (id_V == PAD) | (id_V == UNKNOWN) | (id_V == START) | (is_end & (step < self.min_length))
        never = never | (~is_end & (step >= self.steps - 1))
        return ops.log_softmax(ops.where(never, NEVER, logits_BxKxV / temperature), axis=-1)

    def put(self, values_BxKxT: Any, step: Any, column_BxK: Any) -> Any:
        """``values`` with ``column`` at ``step``."""
        here_T = ops.arange(self.steps) == step
        return ops.where(here_T, ops.expand_dims(column_BxK, -1), values_BxKxT)

    def put_rows(self, values_BxKxTxP: Any, step: Any, row_BxKxP: Any) -> Any:
        """``values`` with ``row`` at ``step``."""
        here_Tx1 = ops.expand_dims(ops.arange(self.steps) == step, -1)
        return ops.where(here_Tx1, ops.expand_dims(row_BxKxP, -2), values_BxKxTxP)


class TopK(Search):
    """Draws each word among the ``k`` likeliest (Fan et al. 2018, section 5.1); ``k`` of one is greedy search.

    Its inputs are ``features`` [B, P, C] and ``noise`` [B, T, k]: Gumbel noise, added to log p, makes the largest
    sum a draw from p. The noise comes from outside, so a draw depends on neither backend nor batch.
    """

    def __init__(self, network: Network, max_length: int, min_length: int, k: int, temperature: float) -> None:
        super().__init__(network, max_length, min_length)
        self.k = min(k, network.vocab_size)
        self.temperature = temperature

    def call(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """``ids`` [B, T], ``score`` [B] (the caption's log p), ``attention`` [B, T, P]."""
        keys_BxPxA, state_BxU = self.network.encode(inputs["features"])
        pictures, positions = ops.shape(keys_BxPxA)[0], keys_BxPxA.shape[1]

        def go_on(step: Any, _last: Any, _state: Any, ids_BxT: Any, *_rest: Any) -> Any:
            return (step < self.steps) & ~ops.all(ops.any(ids_BxT == END, axis=-1))

        def draw(step: Any, last_B: Any, state_Bx1xU: Any, ids_BxT: Any, score_B: Any, attention_BxTxP: Any) -> Any:
            logits_Bx1xV, state_Bx1xU, weights_Bx1xP = self.network.step(
                ops.expand_dims(last_B, -1), state_Bx1xU, keys_BxPxA
            )
            # Tempered values rank and draw; the score is the network's own log p.
            tempered_BxV = self.log_probabilities(logits_Bx1xV, step, self.temperature)[:, 0]
            plain_BxV = self.log_probabilities(logits_Bx1xV, step)[:, 0]
            values_Bxk, candidates_Bxk = ops.top_k(tempered_BxV, self.k)
            noise_Bxk = ops.take(inputs["noise"], step, axis=1)[:, : self.k]
            choice_Bx1 = ops.argmax(values_Bxk + noise_Bxk, axis=-1, keepdims=True)
            word_Bx1 = ops.cast(ops.take_along_axis(candidates_Bxk, choice_Bx1, axis=-1), "int32")
            over_B = ops.any(ids_BxT == END, axis=-1)
            gain_B = ops.take_along_axis(plain_BxV, word_Bx1, axis=-1)[:, 0]
            word_B = ops.where(over_B, PAD, word_Bx1[:, 0])
            return (
                step + 1,
                word_B,
                state_Bx1xU,
                self.put(ids_BxT, step, word_B),
                score_B + ops.where(over_B, 0.0, gain_B),
                self.put_rows(attention_BxTxP, step, weights_Bx1xP[:, 0]),
            )

        _, _, _, ids_BxT, score_B, attention_BxTxP = ops.while_loop(
            go_on,
            draw,
            (
                ops.convert_to_tensor(0, "int32"),
                ops.full((pictures,), START, "int32"),
                ops.expand_dims(state_BxU, 1),
                ops.full((pictures, self.steps), PAD, "int32"),
                ops.zeros((pictures,)),
                ops.zeros((pictures, self.steps, positions)),
            ),
        )
        return {"ids": ids_BxT, "score": score_B, "attention": attention_BxTxP}


class Beam(Search):
    """Beam search: the finished caption with the highest log p / words ** length_penalty that was met.

    Of all continuations of the K beams, the 2K likeliest are looked at: those that end compete for the best
    finished caption, the K likeliest of the others go on. It stops when no beam can overtake the best caption.
    """

    def __init__(self, network: Network, max_length: int, min_length: int, size: int, length_penalty: float) -> None:
        super().__init__(network, max_length, min_length)
        self.size = size
        # K beams, 2K candidates; a small vocabulary may not have so many.
        self.candidates = min(2 * size, size * network.vocab_size)
        self.length_penalty = length_penalty

    def normalised(self, score: Any, words: Any) -> Any:
        """Log p by length; an empty caption counts as one word."""
        return score / ops.cast(ops.maximum(words, 1), "float32") ** self.length_penalty

    def call(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """``ids`` [B, T], ``score`` [B] (normalised log p), ``attention`` [B, T, P]."""
        keys_BxPxA, state_BxU = self.network.encode(inputs["features"])
        pictures, positions = ops.shape(keys_BxPxA)[0], keys_BxPxA.shape[1]
        # All beams begin alike, so only the first counts.
        first_K = ops.where(ops.arange(self.size) == 0, 0.0, NEVER)
        alive = {
            "last": ops.full((pictures, self.size), START, "int32"),
            "state": ops.repeat(ops.expand_dims(state_BxU, 1), self.size, axis=1),
            "score": ops.zeros((pictures, 1)) + first_K,
            "ids": ops.full((pictures, self.size, self.steps), PAD, "int32"),
            "attention": ops.zeros((pictures, self.size, self.steps, positions)),
        }
        best = {
            "score": ops.full((pictures,), NEVER),
            "ids": ops.full((pictures, self.steps), PAD, "int32"),
            "attention": ops.zeros((pictures, self.steps, positions)),
        }

        def go_on(step: Any, alive: dict[str, Any], best: dict[str, Any]) -> Any:
            # Log p only falls, so a beam's sum over the longest caption bounds what it can still reach.
            reachable_B = self.normalised(ops.max(alive["score"], axis=-1), self.steps - 1)
            return (step < self.steps) & ops.any(best["score"] < reachable_B)

        def extend(step: Any, alive: dict[str, Any], best: dict[str, Any]) -> Any:
            candidates = self._candidates(step, alive, keys_BxPxA)
            return step + 1, self._go_on_with(candidates), self._best(step, candidates, best)

        _, _, best = ops.while_loop(go_on, extend, (ops.convert_to_tensor(0, "int32"), alive, best))
        return best

    def _candidates(self, step: Any, alive: dict[str, Any], keys_BxPxA: Any) -> dict[str, Any]:
        """The 2K likeliest continuations, likeliest first."""
        logits_BxKxV, states_BxKxU, weights_BxKxP = self.network.step(alive["last"], alive["state"], keys_BxPxA)
        scores_BxKxV = ops.expand_dims(alive["score"], -1) + self.log_probabilities(logits_BxKxV, step)
        vocab_size = self.network.vocab_size
        scores_BxC, places_BxC = ops.top_k(ops.reshape(scores_BxKxV, (-1, self.size * vocab_size)), self.candidates)
        beam_BxC = places_BxC // vocab_size
        last_BxC = ops.cast(places_BxC % vocab_size, "int32")
        attention_BxKxTxP = self.put_rows(alive["attention"], step, weights_BxKxP)
        return {
            "last": last_BxC,
            "state": _pick(states_BxKxU, beam_BxC),
            "score": scores_BxC,
            "ids": self.put(_pick(alive["ids"], beam_BxC), step, last_BxC),
            "attention": _pick(attention_BxKxTxP, beam_BxC),
        }

    def _go_on_with(self, candidates: dict[str, Any]) -> dict[str, Any]:
        """The K likeliest candidates that do not end."""
        open_BxC = ops.where(candidates["last"] == END, NEVER, candidates["score"])
        score_BxK, place_BxK = ops.top_k(open_BxC, self.size)
        return {key: _pick(value, place_BxK) for key, value in candidates.items() if key != "score"} | {
            "score": score_BxK
        }

    def _best(self, step: Any, candidates: dict[str, Any], best: dict[str, Any]) -> dict[str, Any]:
        """The best finished caption so far."""
        ended_BxC = ops.where(candidates["last"] == END, self.normalised(candidates["score"], step), NEVER)
        place_Bx1 = ops.argmax(ended_BxC, axis=-1, keepdims=True)
        new = {
            "score": ops.take_along_axis(ended_BxC, place_Bx1, axis=-1)[:, 0],
            "ids": _pick(candidates["ids"], place_Bx1)[:, 0],
            "attention": _pick(candidates["attention"], place_Bx1)[:, 0],
        }
        better_B = new["score"] > best["score"]
        return {
            key: ops.where(ops.reshape(better_B, (-1,) + (1,) * (len(value.shape) - 1)), value, best[key])
            for key, value in new.items()
        }


def _pick(values_BxK: Any, places_BxC: Any) -> Any:
    """values[b, places[b, c]] along the second axis, whatever axes follow."""
    index = ops.reshape(
        places_BxC, (ops.shape(places_BxC)[0], places_BxC.shape[1]) + (1,) * (len(values_BxK.shape) - 2)
    )
    return ops.take_along_axis(values_BxK, ops.cast(index, "int32"), axis=1)

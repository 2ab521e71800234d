"""Beam search. See `captioner.decode.strategy` for the letters in array names; 2K counts the candidates of a step."""

from __future__ import annotations

from typing import Any

from keras import ops

from captioner.decode.strategy import LOG_ZERO, DecodingStrategy, StepNetwork
from captioner.text.vocabulary import END, PAD, START


class BeamSearch(DecodingStrategy):
    """Finds the finished caption with the highest score, which is log p / words ** length_penalty.

    Each step ranks all continuations of the K beams and takes the 2K most probable ones as candidates. Candidates that
    end with ``<end>`` compete for the best finished caption. The K most probable of the others become the next beams.
    The search stops when no beam can still exceed the best finished caption.
    """

    def __init__(
        self, network: StepNetwork, max_length: int, min_length: int, beam_size: int, length_penalty: float
    ) -> None:
        super().__init__(network, max_length, min_length)
        self.beam_size = beam_size
        # The continuations of a small vocabulary can be fewer than 2K.
        self.candidate_count = min(2 * beam_size, beam_size * network.vocab_size)
        self.length_penalty = length_penalty

    def normalise_score(self, score: Any, words: Any) -> Any:
        """Return log p divided by words ** length_penalty; an empty caption counts as one word."""
        return score / ops.cast(ops.maximum(words, 1), "float32") ** self.length_penalty

    def call(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Return ``ids`` [B, T] and ``score`` [B], the network's log p of the caption, normalised."""
        keys_BxPxA, state_BxU = self.network.encode(inputs["features"])
        beams, best = self._start(keys_BxPxA, state_BxU)

        def can_improve(step: Any, beams: dict[str, Any], best: dict[str, Any]) -> Any:
            # Log p never rises, so a beam's log p over the maximum length is the upper bound of its score.
            bound_B = self.normalise_score(ops.max(beams["score"], axis=-1), self.steps - 1)
            return (step < self.steps) & ops.any(best["score"] < bound_B)

        def extend(step: Any, beams: dict[str, Any], best: dict[str, Any]) -> Any:
            candidates = self._rank_continuations(step, beams, keys_BxPxA)
            return step + 1, self._select_beams(candidates), self._update_best(step, candidates, best)

        _, _, best = ops.while_loop(can_improve, extend, (ops.convert_to_tensor(0, "int32"), beams, best))
        return best

    def _start(self, keys_BxPxA: Any, state_BxU: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the beams before the first word, and an empty best caption."""
        images = ops.shape(keys_BxPxA)[0]
        # All beams are equal before the first word. Only the first is possible, so that no caption occurs twice.
        first_K = ops.where(ops.arange(self.beam_size) == 0, 0.0, LOG_ZERO)
        beams = {
            "last": ops.full((images, self.beam_size), START, "int32"),
            "state": ops.repeat(ops.expand_dims(state_BxU, 1), self.beam_size, axis=1),
            "score": ops.zeros((images, 1)) + first_K,
            "ids": ops.full((images, self.beam_size, self.steps), PAD, "int32"),
        }
        best = {"score": ops.full((images,), LOG_ZERO), "ids": ops.full((images, self.steps), PAD, "int32")}
        return beams, best

    def _rank_continuations(self, step: Any, beams: dict[str, Any], keys_BxPxA: Any) -> dict[str, Any]:
        """Return the 2K most probable continuations of the beams, in descending order."""
        logits_BxKxV, states_BxKxU = self.network.step(beams["last"], beams["state"], keys_BxPxA)
        scores_BxKxV = ops.expand_dims(beams["score"], -1) + self.log_probabilities(logits_BxKxV, step)
        vocab_size = self.network.vocab_size
        flat_scores = ops.reshape(scores_BxKxV, (-1, self.beam_size * vocab_size))
        scores_Bx2K, index_Bx2K = ops.top_k(flat_scores, self.candidate_count)
        beam_Bx2K = index_Bx2K // vocab_size
        last_Bx2K = ops.cast(index_Bx2K % vocab_size, "int32")
        return {
            "last": last_Bx2K,
            "state": _gather(states_BxKxU, beam_Bx2K),
            "score": scores_Bx2K,
            "ids": self.with_ids_at(_gather(beams["ids"], beam_Bx2K), step, last_Bx2K),
        }

    def _select_beams(self, candidates: dict[str, Any]) -> dict[str, Any]:
        """Return the K most probable candidates that do not end."""
        unfinished_Bx2K = ops.where(candidates["last"] == END, LOG_ZERO, candidates["score"])
        _, index_BxK = ops.top_k(unfinished_Bx2K, self.beam_size)
        return {key: _gather(value, index_BxK) for key, value in (candidates | {"score": unfinished_Bx2K}).items()}

    def _update_best(self, step: Any, candidates: dict[str, Any], best: dict[str, Any]) -> dict[str, Any]:
        """Return the best finished caption up to this step."""
        finished_Bx2K = ops.where(candidates["last"] == END, self.normalise_score(candidates["score"], step), LOG_ZERO)
        index_Bx1 = ops.argmax(finished_Bx2K, axis=-1, keepdims=True)
        score_B, ids_BxT = (_gather(values, index_Bx1)[:, 0] for values in (finished_Bx2K, candidates["ids"]))
        is_better_B = score_B > best["score"]
        return {
            "score": ops.where(is_better_B, score_B, best["score"]),
            "ids": ops.where(ops.expand_dims(is_better_B, -1), ids_BxT, best["ids"]),
        }


def _gather(values_BxK: Any, index_Bx2K: Any) -> Any:
    """Return values[b, index[b, c]]; ``values`` may have more axes after the second."""
    index = ops.reshape(index_Bx2K, ops.shape(index_Bx2K) + (1,) * (len(values_BxK.shape) - 2))
    return ops.take_along_axis(values_BxK, ops.cast(index, "int32"), axis=1)

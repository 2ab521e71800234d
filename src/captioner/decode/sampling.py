"""Top-k sampling, and greedy search as its case k = 1.

See `captioner.decode.strategy` for the letters in array names.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from captioner.decode.strategy import LOG_ZERO, DecodingStrategy, StepNetwork
from captioner.text.vocabulary import END, PAD, START


class TopKSampling(DecodingStrategy):
    """Samples each word from the ``k`` most probable ones (Fan et al. 2018, section 5.1); with k = 1, greedy search.

    The inputs are ``features`` [B, P, C] and ``noise`` [B, T, k], which is Gumbel noise: the largest sum of log p and
    noise is a sample from p. The caller makes the noise, so that samples do not depend on the backend or the batch.
    """

    def __init__(self, network: StepNetwork, max_length: int, min_length: int, k: int, temperature: float) -> None:
        super().__init__(network, max_length, min_length)
        self.k = min(k, network.vocab_size)
        self.temperature = temperature

    def call(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Return ``ids`` [B, T] and ``score`` [B], the network's log p of the caption, without temperature."""
        keys_BxPxA, state_BxU = self.network.encode(inputs["features"])
        images = ops.shape(keys_BxPxA)[0]

        def is_unfinished(step: Any, _last: Any, _state: Any, ids_BxT: Any, *_rest: Any) -> Any:
            return (step < self.steps) & ~ops.all(ops.any(ids_BxT == END, axis=-1))

        def extend(step: Any, last_B: Any, state_Bx1xU: Any, ids_BxT: Any, score_B: Any) -> Any:
            logits_Bx1xV, state_Bx1xU = self.network.step(ops.expand_dims(last_B, -1), state_Bx1xU, keys_BxPxA)
            word_B, log_p_B = self._sample(logits_Bx1xV, step, inputs["noise"])
            ended_B = ops.any(ids_BxT == END, axis=-1)
            word_B = ops.where(ended_B, PAD, word_B)
            return (
                step + 1,
                word_B,
                state_Bx1xU,
                self.with_ids_at(ids_BxT, step, word_B),
                score_B + ops.where(ended_B, 0.0, log_p_B),
            )

        start = (
            ops.convert_to_tensor(0, "int32"),
            ops.full((images,), START, "int32"),
            ops.expand_dims(state_BxU, 1),
            ops.full((images, self.steps), PAD, "int32"),
            ops.zeros((images,)),
        )
        _, _, _, ids_BxT, score_B = ops.while_loop(is_unfinished, extend, start)
        return {"ids": ids_BxT, "score": score_B}

    def _sample(self, logits_Bx1xV: Any, step: Any, noise_BxTxk: Any) -> tuple[Any, Any]:
        """Return the ids [B] of the sampled words, and the network's log p [B] of each."""
        log_p_Bxk, candidates_Bxk = ops.top_k(self.log_probabilities(logits_Bx1xV, step)[:, 0], self.k)
        # k can exceed the number of allowed tokens. Divided by a high temperature, the others would become possible.
        tempered_Bxk = ops.where(log_p_Bxk > LOG_ZERO, log_p_Bxk / self.temperature, LOG_ZERO)
        noise_Bxk = ops.take(noise_BxTxk, step, axis=1)[:, : self.k]
        choice_Bx1 = ops.argmax(tempered_Bxk + noise_Bxk, axis=-1, keepdims=True)
        word_Bx1, log_p_Bx1 = (
            ops.take_along_axis(values, choice_Bx1, axis=-1) for values in (candidates_Bxk, log_p_Bxk)
        )
        return ops.cast(word_Bx1[:, 0], "int32"), log_p_Bx1[:, 0]

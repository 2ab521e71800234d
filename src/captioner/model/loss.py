"""The softmax over the vocabulary and its cross entropy, a piece of the words at a time.

The logits of a batch would be by far the largest array of a training step. Here the logits of a piece give its share of
the loss and of all gradients and are dropped before the next piece; nothing is computed twice. What a row of logits
shares (its scale, its target) is applied to the narrow matrices around them, since each pass over the logits costs as
much as many of these.

In array names X counts pieces, R words of a piece, W the width that the output layer sees, V entries of the vocabulary.
"""

from __future__ import annotations

from typing import Any

from keras import ops


def cross_entropy(
    hidden_XxRxW: Any, kernel_VxW: Any, bias_V: Any, targets_XxR: Any, weights_XxR: Any, smoothing: float = 0.0
) -> Any:
    """Mean cross entropy, in nats, of the softmax over ``hidden @ kernel.T + bias``; differentiable by these three.

    Label smoothing (Szegedy et al. 2016, section 7) moves the target towards the uniform distribution:
    (1 - s) * nll(y) + s * mean over V of nll = log sum over V of exp(logit) - (1 - s) * logit(y) - s * mean logit.
    Logits are linear in the hidden values, so the last two terms need one product with (1 - s) * kernel(y) + s * mean
    kernel.

    Args:
        hidden_XxRxW: what the output layer sees of each word.
        kernel_VxW: the output layer's, or the embedding where the two are tied.
        bias_V: the output layer's.
        targets_XxR: the true ids.
        weights_XxR: how much each word counts, 0 where a piece was filled up.
        smoothing: s above.
    """
    # The bias as one more column, beside a hidden value of 1, so that the rest can do without it.
    hidden_XxRxW = ops.concatenate([hidden_XxRxW, ops.ones_like(hidden_XxRxW[..., :1])], axis=-1)
    kernel_VxW = ops.concatenate([kernel_VxW, ops.expand_dims(bias_V, 1)], axis=1)
    shares_XxRx1 = ops.expand_dims(weights_XxR / ops.sum(weights_XxR), -1)
    aims_XxRxW = ops.take(kernel_VxW, targets_XxR, axis=0)
    if smoothing:
        aims_XxRxW = (1 - smoothing) * aims_XxRxW + smoothing * ops.mean(kernel_VxW, axis=0)
    return _log_sums(hidden_XxRxW, kernel_VxW, shares_XxRx1) - ops.sum(shares_XxRx1 * hidden_XxRxW * aims_XxRxW)


@ops.custom_gradient
def _log_sums(hidden_XxRxW: Any, kernel_VxW: Any, shares_XxRx1: Any) -> Any:
    """The sum over all words of ``share * log(sum over V of exp(hidden @ kernel.T))``."""
    kernel_WxV = ops.transpose(kernel_VxW)

    def add(x: Any, total: Any, by_hidden_XxRxW: Any, by_kernel_WxV: Any) -> tuple[Any, Any, Any]:
        logits_RxV = ops.matmul(hidden_XxRxW[x], kernel_WxV)
        most_Rx1 = ops.max(logits_RxV, axis=1, keepdims=True)
        powers_RxV = ops.exp(logits_RxV - most_Rx1)
        sums_Rx1 = ops.sum(powers_RxV, axis=1, keepdims=True)
        scales_Rx1 = shares_XxRx1[x] / sums_Rx1
        by_hidden_1xRxW = ops.expand_dims(scales_Rx1 * ops.matmul(powers_RxV, kernel_VxW), 0)
        return (
            total + ops.sum(shares_XxRx1[x] * (most_Rx1 + ops.log(sums_Rx1))),
            ops.scatter_update(by_hidden_XxRxW, ops.reshape(x, (1, 1)), by_hidden_1xRxW),
            by_kernel_WxV + ops.matmul(ops.transpose(scales_Rx1 * hidden_XxRxW[x]), powers_RxV),
        )

    start = (ops.zeros(()), ops.zeros_like(hidden_XxRxW), ops.zeros_like(kernel_WxV))
    pieces = ops.shape(hidden_XxRxW)[0]
    total, by_hidden_XxRxW, by_kernel_WxV = ops.fori_loop(0, pieces, lambda x, sums: add(x, *sums), start)

    def gradients(upstream: Any) -> tuple[Any, Any, Any]:
        none = ops.zeros_like(shares_XxRx1)  # shares are given, not learnt
        return upstream * by_hidden_XxRxW, upstream * ops.transpose(by_kernel_WxV), none

    return total, gradients

"""The cross entropy of the softmax over the vocabulary, computed in chunks of tokens.

The logits of a whole batch would be by far the largest array of a training step. Here the loss and all gradients of a
chunk are computed from its logits, which are then freed; nothing is computed twice. A pass over the logits is
expensive, so factors that are constant along a row of logits are applied to the narrow matrices that are multiplied.

In array names X counts chunks, R tokens per chunk, W the input width of the output layer, V entries of the vocabulary.
"""

from __future__ import annotations

from typing import Any

from keras import ops


def chunked_cross_entropy(
    hidden_XxRxW: Any, kernel_VxW: Any, bias_V: Any, targets_XxR: Any, weights_XxR: Any, smoothing: float = 0.0
) -> Any:
    """Return the mean cross entropy in nats of the softmax over ``hidden @ kernel.T + bias``.

    It is differentiable with respect to ``hidden``, ``kernel`` and ``bias``.

    Label smoothing s (Szegedy et al. 2016, section 7) moves the target towards the uniform distribution:
    (1 - s) * nll(y) + s * mean over V of nll = log sum over V of exp(logit) - (1 - s) * logit(y) - s * mean logit.
    Logits are linear in the hidden values, so the last two terms need one product with (1 - s) * kernel(y) + s * mean
    kernel.

    Args:
        hidden_XxRxW: the input of the output layer for each token.
        kernel_VxW: the kernel of the output layer, or the embedding matrix if the two are tied.
        bias_V: the bias of the output layer.
        targets_XxR: the ids of the target tokens.
        weights_XxR: the weight of each token in the mean; 0 for padding.
        smoothing: the label smoothing s.
    """
    # Append the bias to the kernel as one more column, and a constant 1 to the hidden values.
    hidden_XxRxW = ops.concatenate([hidden_XxRxW, ops.ones_like(hidden_XxRxW[..., :1])], axis=-1)
    kernel_VxW = ops.concatenate([kernel_VxW, ops.expand_dims(bias_V, 1)], axis=1)
    weights_XxRx1 = ops.expand_dims(weights_XxR / ops.sum(weights_XxR), -1)
    target_kernel_XxRxW = ops.take(kernel_VxW, targets_XxR, axis=0)
    if smoothing:
        target_kernel_XxRxW = (1 - smoothing) * target_kernel_XxRxW + smoothing * ops.mean(kernel_VxW, axis=0)
    log_sum_exp = _weighted_log_sum_exp(hidden_XxRxW, kernel_VxW, weights_XxRx1)
    return log_sum_exp - ops.sum(weights_XxRx1 * hidden_XxRxW * target_kernel_XxRxW)


@ops.custom_gradient
def _weighted_log_sum_exp(hidden_XxRxW: Any, kernel_VxW: Any, weights_XxRx1: Any) -> Any:
    """Return the sum over all tokens of ``weight * log(sum over V of exp(hidden @ kernel.T))``."""
    kernel_WxV = ops.transpose(kernel_VxW)

    def add_chunk(x: Any, total: Any, grad_hidden_XxRxW: Any, grad_kernel_WxV: Any) -> tuple[Any, Any, Any]:
        logits_RxV = ops.matmul(hidden_XxRxW[x], kernel_WxV)
        max_Rx1 = ops.max(logits_RxV, axis=1, keepdims=True)
        exp_RxV = ops.exp(logits_RxV - max_Rx1)
        sums_Rx1 = ops.sum(exp_RxV, axis=1, keepdims=True)
        scales_Rx1 = weights_XxRx1[x] / sums_Rx1
        grad_hidden_1xRxW = ops.expand_dims(scales_Rx1 * ops.matmul(exp_RxV, kernel_VxW), 0)
        return (
            total + ops.sum(weights_XxRx1[x] * (max_Rx1 + ops.log(sums_Rx1))),
            ops.scatter_update(grad_hidden_XxRxW, ops.reshape(x, (1, 1)), grad_hidden_1xRxW),
            grad_kernel_WxV + ops.matmul(ops.transpose(scales_Rx1 * hidden_XxRxW[x]), exp_RxV),
        )

    initial = (ops.zeros(()), ops.zeros_like(hidden_XxRxW), ops.zeros_like(kernel_WxV))
    chunks = ops.shape(hidden_XxRxW)[0]
    total, grad_hidden_XxRxW, grad_kernel_WxV = ops.fori_loop(0, chunks, lambda x, sums: add_chunk(x, *sums), initial)

    def gradients(upstream: Any) -> tuple[Any, Any, Any]:
        grad_weights_XxRx1 = ops.zeros_like(weights_XxRx1)  # the weights are constants
        return upstream * grad_hidden_XxRxW, upstream * ops.transpose(grad_kernel_WxV), grad_weights_XxRx1

    return total, gradients

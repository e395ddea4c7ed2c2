"""Calibration of the logarithms of ratios of densities: polynomials, by multinomial logistic regression."""

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

DEGREE = 3
"""Degree of the polynomials in the logarithms of the ratios."""
TAIL = 0.001
"""Part of the events on either side, beyond whose logarithms of ratios the calibration goes on as a straight line."""
FLAT, PRECISION = 1e-9, 1e-14
"""Curvature, in units of the largest, below which the data say nothing; decrement of a minimum."""
BLOCK = 100_000
"""Events that are looked at together."""


def centred(logits: "torch.Tensor") -> "torch.Tensor":
    """Return *logits* less their mean over the processes."""
    return logits - logits.mean(dim=1, keepdim=True)


def _basis(measured: "torch.nn.Module", logits: "torch.Tensor") -> "torch.Tensor":
    """Return the powers of *logits*, linear beyond the range in which they are measured, (..., DEGREE + 1)."""
    import torch

    limits = measured.get_buffer("range").to(logits.dtype)
    inside = torch.minimum(torch.maximum(logits, limits[:, 0]), limits[:, 1])
    beyond = logits - inside
    powers = [torch.ones_like(inside)]
    for power in range(1, DEGREE + 1):
        powers.append(inside**power + power * inside ** (power - 1) * beyond)
    return torch.stack(powers, dim=-1)


def calibrated(measured: "torch.nn.Module", logits: "torch.Tensor") -> "torch.Tensor":
    """Return polynomials of the centred *logits*."""
    return (_basis(measured, logits) * measured.get_buffer("calibration").to(logits.dtype)).sum(dim=-1)


def calibrate(
    measured: "torch.nn.Module", logits: "torch.Tensor", process: "torch.Tensor", shares: "torch.Tensor"
) -> None:
    """Fit the polynomials that *measured* keeps by multinomial logistic regression with *shares* as weights.

    The loss is convex in the coefficients: Newton's method. What the data say nothing about stays as it is (adding the
    same to all processes changes nothing).
    """
    import torch

    ordered, last = logits.sort(dim=0).values, len(logits) - 1
    limits = ordered[[int(TAIL * last), math.ceil((1 - TAIL) * last)]]
    measured.get_buffer("range").copy_(limits.T)
    factors = measured.get_buffer("calibration").double()
    value, gradient, hessian = _derivatives(measured, logits, process, shares, factors)
    for _ in range(50):
        scale = hessian.diagonal().sqrt()
        inverse = torch.linalg.pinv(hessian / scale / scale.unsqueeze(1), rtol=FLAT, hermitian=True)
        step = inverse @ (gradient / scale) / scale
        if float(gradient @ step) < PRECISION:
            break
        share = 1.0
        while share > PRECISION:
            moved = factors - share * step.reshape(factors.shape)
            lower, *derivatives = _derivatives(measured, logits, process, shares, moved)
            if lower <= value:
                break
            share /= 2
        else:
            break
        factors, value, (gradient, hessian) = moved, lower, derivatives
    measured.get_buffer("calibration").copy_(factors)


def _derivatives(
    measured: "torch.nn.Module",
    logits: "torch.Tensor",
    process: "torch.Tensor",
    shares: "torch.Tensor",
    factors: "torch.Tensor",
) -> "tuple[float, torch.Tensor, torch.Tensor]":
    """Return the cross-entropy, and its gradient and Hessian by the *factors*, block by block of events."""
    import torch

    (size, terms), value = factors.shape, 0.0
    gradient = torch.zeros(size, terms, dtype=torch.float64)
    hessian = torch.zeros(size, terms, size, terms, dtype=torch.float64)
    for block, true, share in zip(*(torch.split(part, BLOCK) for part in (logits, process, shares)), strict=True):
        powers = _basis(measured, block)
        logs = (powers * factors).sum(dim=2).log_softmax(dim=1)
        value -= float((share * logs.gather(1, true.unsqueeze(1)).squeeze(1)).sum())
        chance = logs.exp()
        difference = chance - torch.nn.functional.one_hot(true, size)
        gradient += torch.einsum("ep,epk->pk", share.unsqueeze(1) * difference, powers)
        for p in range(size):
            for q in range(size):
                spread = share * chance[:, p] * (float(p == q) - chance[:, q])
                hessian[p, :, q] += (powers[:, p] * spread.unsqueeze(1)).T @ powers[:, q]
    return value, gradient.reshape(-1), hessian.reshape(size * terms, -1)


def confirmed(logits: np.ndarray, varied: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Return the factor on *logits* that tells *varied* events (1, others 0) best, and its error.

    Logistic regression with an offset (Platt scaling), whose loss is convex. 1 and infinity if one kind is missing.
    """
    share = np.where(varied, weights, 0.0), np.where(varied, 0.0, weights)
    if not min(part.sum() for part in share) > 0 or not np.ptp(logits) > 0:
        return 1.0, math.inf
    columns, found = np.stack([logits, np.ones(len(logits))]), np.array([1.0, 0.0])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-np.clip(found @ columns, -50, 50)))
        gradient = columns @ (weights * (chance - varied))
        hessian = (columns * (weights * chance * (1 - chance))) @ columns.T + 1e-12 * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        found = found - step * min(1.0, 1.0 / max(np.abs(step).max(), 1e-300))
        if gradient @ step < PRECISION * weights.sum():
            break
    scatter = (columns * (weights * (chance - varied)) ** 2) @ columns.T
    inverse = np.linalg.inv(hessian)
    return float(found[0]), float(np.sqrt((inverse @ scatter @ inverse)[0, 0]))

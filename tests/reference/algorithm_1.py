"""Slow textbook twins of the optimizers, one numpy float64 vector and one line of the paper a line.

`gradient(w, t)` is the gradient of mini-batch t at w; `weight_decay` holds lambda for each
coordinate. Every generator yields (w_{t+1}, eta_t, rho_t) for t = 0, 1, ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf, sqrt

import numpy as np
from numpy.linalg import norm

Vector = np.ndarray
Gradient = Callable[[Vector, int], Vector]


def growth(delta: float, theta: float) -> float:
    return inf if theta == inf else sqrt(1 + delta * theta)


def sa_sam(
    gradient: Gradient, w: Vector, eta_0: float, weight_decay: Vector, delta: float = 0.02
) -> Iterator[tuple[Vector, float, float]]:
    # 1: input
    theta, eta = inf, eta_0
    # 2: w_1
    rho = sqrt(eta_0)
    g = gradient(w, 0)
    w_old, w = w, w - eta_0 * (gradient(w + rho * g / norm(g), 0) + weight_decay * w)
    yield w, eta, rho
    t = 1
    while True:  # 3: for each round t = 1, ...
        # 4, 5: eta_t, on mini-batch t
        g = gradient(w, t)
        smooth = norm(w - w_old) / (2 * norm(g - gradient(w_old, t)))
        eta_old, eta = eta, min(smooth, growth(delta, theta) * eta)
        # 6: rho_t
        rho = sqrt(eta)
        # 7: w_{t+1}
        w_old, w = w, w - eta * (gradient(w + rho * g / norm(g), t) + weight_decay * w)
        # 8: theta_t
        theta = eta / eta_old
        yield w, eta, rho
        t += 1  # 9: end for


def sa_sgd(
    gradient: Gradient, w: Vector, eta_0: float, weight_decay: Vector, delta: float = 0.02
) -> Iterator[tuple[Vector, float, float]]:
    theta, eta = inf, eta_0
    w_old, w = w, w - eta_0 * (gradient(w, 0) + weight_decay * w)
    yield w, eta, 0.0
    t = 1
    while True:
        g = gradient(w, t)
        smooth = norm(w - w_old) / (2 * norm(g - gradient(w_old, t)))
        eta_old, eta = eta, min(smooth, growth(delta, theta) * eta)
        w_old, w = w, w - eta * (g + weight_decay * w)
        theta = eta / eta_old
        yield w, eta, 0.0
        t += 1


def sam(
    gradient: Gradient, w: Vector, eta: float, weight_decay: Vector, momentum: float = 0.0
) -> Iterator[tuple[Vector, float, float]]:
    rho = sqrt(eta)
    velocity = np.zeros_like(w)
    t = 0
    while True:
        g = gradient(w, t)
        velocity = momentum * velocity + gradient(w + rho * g / norm(g), t) + weight_decay * w
        w = w - eta * velocity
        yield w, eta, rho
        t += 1


def published_sa_sam(
    gradient: Gradient, w: Vector, eta_0: float, weight_decay: Vector, perturbed: bool = True
) -> Iterator[tuple[Vector, float, float]]:
    """What the authors' program does: its previous model starts as a copy of the model."""
    theta, eta, w_old, t = 1.0, eta_0, w, 0
    while True:
        g = gradient(w, t)
        moved, changed = norm(w - w_old), norm(g - gradient(w_old, t))
        rho = sqrt(eta) if perturbed else 0.0
        step = gradient(w + rho * g / norm(g), t)
        bound = eta * sqrt(1 + 0.02 * theta)
        new = min(bound, moved / changed) + 1e-8 if moved > 0 and changed > 0 else bound
        theta, eta = new / eta, new
        w_old, w = w, w - eta * (step + weight_decay * w)
        yield w, eta, rho
        t += 1

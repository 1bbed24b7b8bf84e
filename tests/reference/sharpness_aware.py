"""Slow textbook twins of SAM's line: the gradient that each method gives its base optimizer.

One numpy float64 vector and one line of the paper a line. `gradient(w, t)` is the gradient of
mini-batch t at w, t = 0, 1, ...; a method is a generator that is sent w_t and yields its direction.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

import numpy as np
from numpy.linalg import norm

Vector = np.ndarray
Gradient = Callable[[Vector, int], Vector]
Method = Generator[Vector, Vector, None]


def sam(gradient: Gradient, w: Vector, rho: float) -> Method:
    t = 0
    while True:
        g = gradient(w, t)
        w = yield gradient(w + rho * g / norm(g), t)
        t += 1


def asam(gradient: Gradient, w: Vector, rho: float, eta: float) -> Method:
    t = 0
    while True:
        g = gradient(w, t)
        t_w = np.diag(np.abs(w)) + eta * np.eye(len(w))
        w = yield gradient(w + rho * t_w @ t_w @ g / norm(t_w @ g), t)
        t += 1


def gsam(gradient: Gradient, w: Vector, rho: float, alpha: float) -> Method:
    t = 0
    while True:
        g = gradient(w, t)
        g_p = gradient(w + rho * g / norm(g), t)
        parallel = (g @ g_p / (norm(g) * norm(g_p))) * norm(g) * g_p / norm(g_p)
        w = yield g_p - alpha * (g - parallel)
        t += 1


def friendly_sam(gradient: Gradient, w: Vector, rho: float, sigma: float, decay: float) -> Method:
    t, m = 0, np.zeros_like(w)
    while True:
        g = gradient(w, t)
        m = decay * m + (1 - decay) * g
        d = g - sigma * m
        w = yield gradient(w + rho * d / norm(d), t)
        t += 1


def looksam(gradient: Gradient, w: Vector, rho: float, k: int, alpha: float) -> Method:
    t, g_v = 0, np.zeros_like(w)
    while True:
        g = gradient(w, t)
        if t % k == 0:
            g_s = gradient(w + rho * g / norm(g), t)
            cosine = g @ g_s / (norm(g) * norm(g_s))
            g_v = g_s - norm(g_s) * cosine * g / norm(g)
        else:
            g_s = g + alpha * norm(g) / norm(g_v) * g_v
        w = yield g_s
        t += 1


def sam_on(gradient: Gradient, w: Vector, rho: float, is_norm: Vector) -> Method:
    t = 0
    while True:
        g = np.where(is_norm, gradient(w, t), 0.0)
        w = yield gradient(w + rho * g / norm(g), t)
        t += 1

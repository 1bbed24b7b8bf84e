"""Specifications that tests of several folders submit."""

from typing import Any

__all__ = ["DIGITS", "SMALL"]

SMALL = """
name: small
dataset: digits
ood: {corruptions: [fog], severities: [1], images: 100}
model: cnn-tiny
optimizers: [sa-sam, msgd]
search: {learning_rate: [0.01, 0.1], weight_decay: [0, 1.0e-4]}
training: {epochs: 2, batch_size: 64, augmentation: none}
curvature: null
"""
"""A sweep of eight trials."""

DIGITS: dict[str, Any] = {
    "name": "digits",
    "dataset": {"name": "digits", "train_size": 256, "test_size": 100},
    "ood": {"corruptions": ["brightness", "contrast"], "severities": [1, 5], "images": 20},
    "model": {"name": "cnn-tiny", "kwargs": {"width": 4}},
    "optimizers": ["sam", "msgd"],
    "search": {"learning_rate": [0.1, 0.01], "weight_decay": [0]},
    "training": {"epochs": 2, "batch_size": 64, "augmentation": "none"},
    "curvature": None,
    "tags": {"owner": "vision"},
}
"""A sweep of four trials that end in seconds, with two corruptions, as plain data."""

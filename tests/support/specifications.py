"""Specifications that tests of several folders submit."""

__all__ = ["SMALL"]

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

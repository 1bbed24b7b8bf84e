"""Summaries of stored sweeps: load their trials, answer requests over HTTP, publish to MLflow.

The statistics and figures themselves are in :mod:`service.sensitivity`.
"""

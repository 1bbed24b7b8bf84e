"""Sweeps: submit, look up, command."""

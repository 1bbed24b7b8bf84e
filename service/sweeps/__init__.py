"""Sweeps: submission, views, commands, states."""

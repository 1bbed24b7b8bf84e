"""Tells other services that a sweep has ended."""

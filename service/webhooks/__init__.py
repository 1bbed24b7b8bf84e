"""Webhooks: signed notifications of other services that a sweep has ended."""

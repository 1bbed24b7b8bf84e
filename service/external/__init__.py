"""Clients of external services: Ray's Jobs API and MLflow."""

"""Measures of tuning sensitivity, one module per measure: pure functions on arrays of scores."""

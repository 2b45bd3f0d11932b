"""Metrics for comparing families; apart from these, so that a change of a metric trains no generator anew."""

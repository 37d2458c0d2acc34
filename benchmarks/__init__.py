"""Measures coordjournal against yardsticks of the same run: ``python -m benchmarks``."""

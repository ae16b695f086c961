"""The scorecard of promises: each row is measured, and falls short or does not. ``python -m tests.scorecard``."""

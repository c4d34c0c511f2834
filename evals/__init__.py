"""Suites, checks and the runner that scores agents."""

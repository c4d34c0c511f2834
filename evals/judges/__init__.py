"""Judged checks: outputs graded by a judge, and what a judge has to show before it may gate."""

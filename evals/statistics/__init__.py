"""How sure we are: intervals, comparisons and verdicts, as pure functions over plain arrays."""

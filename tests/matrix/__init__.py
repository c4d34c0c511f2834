"""Every provider protocol against everything that a provider does: one table, run cell by cell.

A column is a name that a model has in the settings, asked through `Settings().models()`, its typed
faults, circuit, limiter and retries, and an agent. A row is what its server does. A cell is right
when it comes to the right answer, or to the right typed error, in its time.

`tests/test_matrix.py` runs the cells, `benchmarks/matrix.py` prints them. `cells` says what each
must come to, `columns` what is asked, `servers` who answers.
"""

"""How trials are run: engines, the processes that they start, and what those do."""

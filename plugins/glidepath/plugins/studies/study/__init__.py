"""A study as its file says it: its arms, what they vary, what is checked, and the graph of its trials."""

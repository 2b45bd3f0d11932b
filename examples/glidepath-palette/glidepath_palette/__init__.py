"""Images by prompt and palette: a condition of its own, what reads it, and its training."""

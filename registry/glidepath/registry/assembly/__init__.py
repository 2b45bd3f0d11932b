"""A plan to a pipeline: its doubts, parts constructed, weights loaded, devices chosen, what an image costs."""

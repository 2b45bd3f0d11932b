"""A plan to a pipeline: its doubts, parts constructed, weights loaded, devices, what an image costs."""

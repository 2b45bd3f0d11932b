"""A plan to a pipeline: parts constructed, weights loaded, devices chosen, and what an image costs."""

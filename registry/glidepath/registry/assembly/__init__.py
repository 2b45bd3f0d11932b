"""A plan to a pipeline: what is doubtful about it, parts constructed, weights loaded, devices chosen, and what an image costs."""

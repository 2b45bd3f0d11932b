"""Losses, as functions of tensors, and which timesteps they are taken at."""

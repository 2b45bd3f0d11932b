"""A training run: its loop, optimizer, checkpoints, log and spec."""

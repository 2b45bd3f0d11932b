"""Pixels as they are diffused, 8 bits to [-1, 1] and back; and how a stage takes over from another."""

"""Emoji: captioned art of real things in three styles, and a model trained on it."""

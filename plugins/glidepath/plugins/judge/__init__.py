"""Blind judgements of pictures by people, and what follows from them."""

"""Embeddings and latents that are computed once: by what they are made of."""

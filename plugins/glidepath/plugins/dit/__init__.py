"""Diffusion transformers (Peebles & Xie 2023): patches of an image as tokens, steered by adaptive norms."""

"""Networks that compare prompts with images (CLIP, Radford et al. 2021), and guidance by them."""

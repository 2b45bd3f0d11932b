"""Presets of the published GLIDE models (Nichol et al. 2021)."""

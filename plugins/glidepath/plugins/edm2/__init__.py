"""The magnitude-preserving UNet of EDM2 (Karras et al. 2024)."""

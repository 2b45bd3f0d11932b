"""The UNet of ADM (Dhariwal & Nichol 2021) and GLIDE (Nichol et al. 2021)."""

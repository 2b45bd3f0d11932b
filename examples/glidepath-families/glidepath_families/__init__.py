"""Families of generative models as generators: what `glidepath sample` asks in place of a denoiser."""

"""Schedules, samplers, guidance and codec of the discrete Gaussian diffusion of DDPM, GLIDE and ADM."""

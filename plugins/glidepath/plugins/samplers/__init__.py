"""Samplers that make an image in few steps: solvers of the differential equations behind diffusion."""

"""Ways from noise to an image: ancestral and implicit sampling, and solvers for few steps."""

"""Ways of guiding that came after GLIDE and ADM."""

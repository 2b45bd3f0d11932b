"""Models of today: networks, autoencoders and text encoders of the packages diffusers and transformers."""

"""Text, layers, overrides and interpolation to a spec, and its values to typed parameters."""

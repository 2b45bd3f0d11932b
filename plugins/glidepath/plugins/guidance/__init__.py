"""Ways to pull a sample towards its prompt, and modifiers of them."""

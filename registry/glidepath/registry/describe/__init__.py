"""How a plugin describes what it supplies: components, kinds, hooks, and the parameters of config classes."""

"""How signal and noise mix at each timestep of the forward chain."""

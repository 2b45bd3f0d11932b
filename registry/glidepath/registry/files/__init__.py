"""Files: written whole or not at all, locked, read safely, hashed; streams, signals, state of the process."""

"""Files, written whole or not at all, locked, read safely, hashed; the streams, signals and state of the process."""

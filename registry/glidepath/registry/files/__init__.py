"""Files, written whole or not at all, locked, read safely; the streams, signals and state of the process."""

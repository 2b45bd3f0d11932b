"""Files and folders: written whole or not at all, locked, read safely; and the signals that end long work."""

"""Planning and driving a study, and collecting what came of it."""

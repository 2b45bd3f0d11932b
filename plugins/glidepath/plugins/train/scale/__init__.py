"""One run trained by several processes: who they are, what each does of a batch, and how they are started."""

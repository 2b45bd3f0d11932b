"""What does not yet keep the rules of the house, as paths within the project. Entries only go."""

BELOW_THE_FACES = tuple(f"plugins/glidepath/plugins/{name}/" for name in ("studies", "train"))

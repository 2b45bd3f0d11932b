"""What does not yet keep the rules of the house, as paths within the project. Entries only go."""

LONG = {
    "plugins/glidepath/plugins/shapes/reader.py",
}

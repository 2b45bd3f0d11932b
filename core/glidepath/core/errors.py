"""The exceptions that glidepath raises on purpose."""


class GlidepathError(Exception):
    """Base of every error that glidepath raises about its input, its parts or its files."""


class PartError(GlidepathError):
    """A part was asked for something it cannot do, or was given values that do not fit it."""


class Diverged(GlidepathError):
    """Numbers became infinite or undefined: in training, or on the way to an image."""

"""How parts are found, described, checked and assembled."""

from glidepath.core.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

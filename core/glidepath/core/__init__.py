"""What a part is: the interfaces, the values that pass between them, and the pipeline."""

from glidepath.core.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

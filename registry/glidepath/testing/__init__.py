"""The conformance kit: whether the parts of a plugin keep the contracts that specs rely on.

`glidepath test-plugin DISTRIBUTION` runs it; so does pytest, for an author:

    from glidepath.testing import parametrize_with_checks

    @parametrize_with_checks("glidepath-acme")
    def test_contract(check):
        check()
"""

from glidepath.core.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

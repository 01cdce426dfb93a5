"""Protocols of scores: extractor, resize rule and input size, and marks. Needs no torch."""

SHARED = "+shared-with-backbone"
"""Mark in the protocol of scores that a discriminator's own features flatter."""


def resize_rule(protocol: str) -> str:
    """That of a protocol: ``clean`` of ``inception/clean-299``. A rule alone is its own."""
    return protocol.partition("/")[2].partition("-")[0] or protocol

"""A health probe for geo-redundant Azure Storage."""

__version__ = "0.1.0"

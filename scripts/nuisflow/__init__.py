"""Nuisflow: compare ways of training a classifier by the total uncertainty they give."""

__version__ = "0.1.0"

"""A class of the user's own, which skops does not know, in a module that a server can import."""

from sklearn.linear_model import LogisticRegression


class Opaque(LogisticRegression):
    """Nothing but another name."""

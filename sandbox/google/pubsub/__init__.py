"""Pub/Sub: topics, pull and push subscriptions.

Sources: Pub/Sub API reference v1 and the guides named in the modules.
"""

from sandbox.google.pubsub import subscriptions, topics
from sandbox.google.pubsub.api import api
from sandbox.google.pubsub.delivery import delivery_of, prepare

__all__ = ["api", "delivery_of", "prepare", "subscriptions", "topics"]

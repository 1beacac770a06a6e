"""Vertex AI: models and their deployment."""

"""Stand-ins for the provider plugins that the engine starts: one folder per provider."""

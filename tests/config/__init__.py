"""The settings files that we ship."""

"""Configuration: the typed schema, the YAML groups, and how a command line becomes one checked config."""

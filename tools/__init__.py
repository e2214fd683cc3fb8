"""Tools: each compares runs or models, or looks at the data; one file per command of flower_cli.py."""

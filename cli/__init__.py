"""Command-line front: what every script shares, and one module a subcommand of flower_cli.py."""

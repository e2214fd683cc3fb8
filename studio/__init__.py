"""The building blocks of the browser page that flower_cli.py studio serves."""

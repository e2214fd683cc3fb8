"""From the organisers' files to a proven ZIP in a given number of hours: compete.py. Runs the kit's own commands."""

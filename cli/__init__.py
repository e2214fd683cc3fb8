"""Command line: flags to typed calls, figures to text. The only place with argparse and the names of flags."""

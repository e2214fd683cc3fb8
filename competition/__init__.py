"""The contest's rules, the submission ZIP, and its proof."""

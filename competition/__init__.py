"""Competition: the contest's rules, the submission ZIP and its proof, and the technical report."""

"""What the command line offers, as functions: plan, run, verify, bench, report."""

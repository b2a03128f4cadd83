"""What a run or a factor is worth as evidence: luck of a run, audits on controlled markets, the holdout."""

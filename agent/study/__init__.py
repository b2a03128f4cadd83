"""One way to open a data set for work: settings, workspace, gate, learned fields, and scoring under recorded rules."""

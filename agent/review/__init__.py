"""The review report: everything about a factor or a run on one printable, offline page."""

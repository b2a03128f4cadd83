"""The two loops: a round is planned, factors are proposed and judged, scored, and lessons are drawn."""

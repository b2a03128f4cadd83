"""What the operators compute, bar after bar. Arrays are (T, N), time first: every loop over assets is one of vectors.

A kernel takes the next rows of its arguments, writes as many rows of `out`, and keeps in its state arrays what later
rows need. Whether a panel comes whole, in pieces, or one bar at a time is the same to the last bit. Values are finite
or NaN, and what is not finite is made NaN.
"""

"""Signals: a pool or factors evaluated bar by bar on new data, and kept on paper. No order is ever sent.

What is read here includes the newest bars, the holdout among them. Nothing of it may reach a prompt or the loop: no
module outside this package and its command imports it.
"""

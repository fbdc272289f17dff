"""Advice on the design of networks, tried on the user's own network and machine before it is given.

One file per guideline, each with its statement, its source, what finds it and what tries it; `core` holds what they
share. `narrows.guidelines.checking.check` runs them all.
"""

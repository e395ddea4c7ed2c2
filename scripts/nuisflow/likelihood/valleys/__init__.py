"""Likelihoods with several minima: profiles that are followed along all valleys, and how far intervals reach in them.

Where fits start says `starts`, beside this room. Start with `ends`: what an interval is, for every kind of fit of a
workspace; `profiles` is one profile of one data set, followed with all care, `corners` are minima without a gradient.
"""

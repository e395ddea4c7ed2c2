"""Do intervals cover, and which intervals cover by construction: pseudo-experiments by the thousand and the million.

`neyman` makes intervals of any number of nuisance parameters by Neyman's construction in the ordering of Feldman and
Cousins; `maps` throws pseudo-experiments at random true points, and `regions` and `regression` say where among them
the intervals cover too rarely. Single true points are the matter of `toys`.
"""

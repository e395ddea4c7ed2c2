"""The commands that ask pseudo-experiments what intervals are worth, each in a module of the same name.

`toys` throws them at one true value, `interval` at the values that Neyman's construction tests, `map` at random true
points.
"""

"""The compiled inner loops of the likelihood (numba), on plain arrays.

Knows one data set at a time (`rates`, `derivatives`, `minimisation`, `profiles`) and 64 side by side (`lanes`,
`lane_derivatives`, `newton`, `crossings`). Does not know names of parameters. Start with `rates`.
"""

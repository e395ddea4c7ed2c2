"""The likelihood of classifiers that are conditional on a hypothesis: templates on a grid of parameter values.

Start with `model`, which fits it; `hypotheses` builds it from templates, `measurements` and `toys` ask it.
"""

"""The likelihood of classifiers that are conditional on a hypothesis: templates on a grid of parameter values.

Start with `observables`, which says in which score data are binned, and `model`, which fits them; `hypotheses` builds
both from templates, `measurements` and `toys` ask them.
"""

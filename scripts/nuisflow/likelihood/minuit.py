"""Minimisation by Minuit, where Newton steps do not converge."""

import numpy as np

from nuisflow.likelihood.histfactory import Booleans, Floats
from nuisflow.likelihood.model import EDGE, Model, Values


def minimise_with_minuit(model: Model, data: Values | None, values: Floats, held: Booleans, reason: str,
            ) -> tuple[Floats, float, bool, str]:  # fmt: skip
    """Minimise with Minuit and our gradient, from where Newton stopped (or from the start)."""
    import iminuit

    main, auxiliary = model.split(data)
    flat = np.concatenate([main[0], auxiliary[0][model.constrained]])

    def value(point: Floats) -> float:
        result = float(model.derivatives(point, flat).twice_nll[0])
        return result if np.isfinite(result) else 1e300

    def gradient(point: Floats) -> Floats:
        slopes: Floats = np.nan_to_num(model.derivatives(point, flat).gradient[0])
        return slopes

    minuit = iminuit.Minuit(value, values, grad=gradient)
    minuit.errordef, minuit.strategy, minuit.print_level = 1.0, 2, 0
    minuit.limits = list(zip(model.lower, model.upper, strict=True))
    minuit.fixed = list(held)
    minuit.migrad(ncall=100_000)
    polished = model.minimise(flat, np.array(minuit.values), held, tolerance=1e-10)
    if polished.status[0] == 0:
        return polished.values[0], float(polished.twice_nll[0]), True, "converged after Minuit"
    # Minuit knows nothing of the physical region: what it finds beyond is no minimum of ours.
    beyond = bool(np.any((main[0] == 0) & (model.expected(np.array(minuit.values)) < -EDGE)))
    good = bool(minuit.valid) and value(np.array(minuit.values)) < 1e300 and not beyond
    text = f"converged with Minuit only ({reason})" if good else f"{reason}; Minuit did not converge either"
    return np.array(minuit.values), float(minuit.fval) if good else np.inf, good, text

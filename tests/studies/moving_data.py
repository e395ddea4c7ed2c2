"""Do intervals cover if data are binned in a score that follows the nuisance parameter which is fitted?

The benchmark inferno with the shift of r and a background rate, exact densities and the exact classifier f(x; z) of every
z, without any other part of the library: pseudo-experiments of fresh events, a profile likelihood by Newton steps on a
grid of mu and z, residuals between the points of z by cubic splines.

    python tests/studies/moving_data.py --number 1500               # 40 s; prints and writes results/studies/moving_data.csv
    python tests/studies/moving_data.py --number 600 --scale 10     # ten times as many events
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.interpolate import CubicSpline

ROOT = Path(__file__).resolve().parents[2]
SIGNAL, BACKGROUND, SIZE, RATE = 50.0, 1000.0, 0.4, np.log(1.1)
SIMULATED = 1_000_000
Z = np.linspace(-2, 2, 17)
FINE = np.linspace(-2, 2, 129)
ALL, NOMINAL = np.arange(len(Z)), 8
STEPS = np.linspace(-2.5, 2.5, 41)
"""Values of mu that are tried, about 1."""
Array = np.ndarray


def signal(number: int, random: np.random.Generator) -> Array:
    """Return x0, x1, x2 of signal events."""
    return np.stack([*random.standard_normal((2, number)), random.exponential(1 / 2, number)])


def background(number: int, random: np.random.Generator) -> Array:
    """Return x0, x1, x2 of background events at r = 0."""
    x0, x1 = random.standard_normal((2, number))
    return np.stack([2 + np.sqrt(5) * x0, 3 * x1, random.exponential(1 / 3, number)])


def binned(x: Array, z: float, bins: int) -> Array:
    """Return the bin of every event in the exact classifier of z, s / (s + b)."""
    s = np.log(2) - 0.5 * (x[0] ** 2 + x[1] ** 2) - 2 * x[2]
    b = np.log(1 / np.sqrt(5)) - 0.1 * (x[0] - 2 - SIZE * z) ** 2 - x[1] ** 2 / 18 - 3 * x[2]
    return np.minimum((bins / (1 + np.exp(b - s))).astype(int), bins - 1)


class Experiments:
    """Pseudo-experiments at mu = 1 and r = 0, and templates: *counts* (z of the score, experiments, bins).

    *signal* (z of the score, bins), *background* (true z, z of the score, bins).
    """

    def __init__(self, number: int, scale: float, bins: int) -> None:
        random = np.random.default_rng(5)
        s, b = signal(SIMULATED, random), background(SIMULATED, random)
        self.number, self.mu = number, 1 + STEPS / np.sqrt(scale)
        weights = scale / SIMULATED
        self.signal = np.array([np.bincount(binned(s, at, bins), minlength=bins) for at in Z]) * SIGNAL * weights
        self.background = np.empty((len(Z), len(Z), bins))
        for row, true in zip(self.background, Z, strict=True):
            moved = b + np.array([[SIZE * true], [0.0], [0.0]])
            row[:] = [np.bincount(binned(moved, at, bins), minlength=bins) * BACKGROUND * weights for at in Z]
        self.counts = np.zeros((len(Z), number, bins))
        for place in range(number):
            parts = (
                signal(random.poisson(SIGNAL * scale), random),
                background(random.poisson(BACKGROUND * scale), random),
            )
            x = np.concatenate(parts, axis=1)
            self.counts[:, place] = [np.bincount(binned(x, at, bins), minlength=bins) for at in Z]
        self.centre, self.rate = random.standard_normal((2, number))

    def profile(
        self, counts: Array, s: Array, b: Array, points: Array, *, known: bool = False, dropped: bool = False
    ) -> tuple[Array, Array]:
        """Return -2 ln L (mu, experiments) with the rate and z at their best, and this z.

        *counts*, *s*, *b*: at every z; *points*: those of the grid; *known*: z is 0. Without *dropped*, terms of the
        data alone make -2 ln L relative to the saturated model.
        """
        n, s, b = counts[points], s[points][:, None], b[points][:, None]
        matrix = CubicSpline(Z[points], np.eye(len(points)))(FINE)
        terms = -2 * (n * np.log(np.where(n > 0, n, 1.0)) - n).sum(axis=-1)
        extra = matrix @ terms if dropped else 0.0
        found, best = np.empty((2, len(self.mu), self.number))
        for row, mu in enumerate(self.mu):
            theta = np.zeros((len(points), self.number))
            for _ in range(6):
                scaled = b * np.exp(RATE * theta)[..., None]
                rates = np.maximum(mu * s + scaled, 1e-9)
                slope = (2 * (1 - n / rates) * scaled * RATE).sum(axis=-1) + 2 * (theta - self.rate)
                theta -= np.clip(slope / ((2 * n * (scaled * RATE / rates) ** 2).sum(axis=-1) + 2), -1, 1)
            rates = np.maximum(mu * s + b * np.exp(RATE * theta)[..., None], 1e-9)
            root = np.sqrt(np.maximum(2 * (rates - n + n * np.log(np.where(n > 0, n, 1.0) / rates)), 0))
            residuals = np.concatenate([np.sign(n - rates) * root, (theta - self.rate)[..., None]], axis=-1)
            total = (np.einsum("fg,gkb->fkb", matrix, residuals) ** 2).sum(axis=-1) + extra
            total += 0 if known else (FINE[:, None] - self.centre) ** 2
            lowest = np.full(self.number, len(FINE) // 2) if known else total.argmin(axis=0)
            found[row], best[row] = total[lowest, np.arange(self.number)], FINE[lowest]
        return found, best

    def fixed(self, score: int) -> tuple[Array, Array]:
        """Return the profile with the score at one z and templates at five true ones."""
        counts, s = (np.broadcast_to(one[score], one.shape) for one in (self.counts, self.signal))
        return self.profile(counts, s, self.background[:, score], ALL[::4])

    def nearest(self) -> Array:
        """Return the profile with the score at that of nine z which is nearest to the best z of its own fit."""
        found, apart = np.empty((len(self.mu), self.number)), np.full(self.number, np.inf)
        for score in ALL[::2]:
            profile, z = self.fixed(score)
            off = np.abs(z[profile.argmin(axis=0), np.arange(self.number)] - Z[score])
            found[:, off < apart], apart = profile[:, off < apart], np.minimum(off, apart)
        return found

    def expected(self) -> Array:
        """Return counts that change with the score as all events are expected to, and not as these few do."""
        rates = self.signal + self.background[NOMINAL]
        pull = (self.counts[NOMINAL] - rates[NOMINAL]) / np.sqrt(rates[NOMINAL])
        return np.asarray(np.maximum(rates[:, None] + pull * np.sqrt(rates)[:, None], 0))

    def row(self, label: str, profile: Array) -> dict[str, float | str]:
        """Return what the intervals are worth."""
        spline, fine = CubicSpline(self.mu, profile, axis=0), np.linspace(self.mu[0], self.mu[-1], 2001)
        curves = spline(fine)
        rise = spline(1.0) - curves.min(axis=0)
        coverage = float((rise <= 1).mean())
        inside = (curves <= curves.min(axis=0) + 1).sum(axis=0)
        return {
            "data binned in the score at": label,
            "coverage": coverage,
            "error": float(np.sqrt(coverage * (1 - coverage) / self.number)),
            "half_width": float(inside.mean() * (fine[1] - fine[0]) / 2),
            "spread": float(fine[curves.argmin(axis=0)].std()),
        }


def main() -> None:
    """Throw, fit, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, default=1500, help="of pseudo-experiments (default: 1500)")
    parser.add_argument("--scale", type=float, default=1.0, help="expected events, times this (default: 1)")
    parser.add_argument("--bins", type=int, default=10, help="of the score (default: 10)")
    chosen = parser.parse_args()
    made = Experiments(chosen.number, chosen.scale, chosen.bins)
    own = made.background[ALL, ALL]
    moving = {f"every z, {len(ALL[::step])} points": ALL[::step] for step in (4, 2, 1)}
    rows = [made.row("z = 0", made.fixed(NOMINAL)[0]), made.row("the z nearest to the best fit", made.nearest())]
    rows += [made.row(label, made.profile(made.counts, made.signal, own, grid)[0]) for label, grid in moving.items()]
    smooth = made.profile(made.expected(), made.signal, own, ALL[::4])[0]
    rows.append(made.row("every z, 5 points, but with the change expected on average", smooth))
    dropped = made.profile(made.counts, made.signal, own, ALL[::4], dropped=True)[0]
    rows.append(made.row("every z, 5 points, terms of the data dropped", dropped))
    known = made.profile(made.counts, made.signal, own, ALL[::4], known=True)[0]
    rows.append(made.row("z = 0, which is known", known))
    table = pd.DataFrame(rows)
    path = ROOT / "results" / "studies" / "moving_data.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False)
    print(table.round(3).to_string(index=False))


if __name__ == "__main__":
    main()

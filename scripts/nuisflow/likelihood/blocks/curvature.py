"""The exact Hessian of -ln L in blocks, its Schur complement, and the slopes of all rates (one point each)."""

from typing import NamedTuple

import numpy as np

from nuisflow.likelihood.blocks.evaluation import Blocks, Lanes, Profiled, Shared
from nuisflow.likelihood.histfactory import Booleans, Floats, Integers


class Curvature(NamedTuple):
    """The Hessian of -ln L, nothing profiled: *dense* (parameters, parameters), *cross* (parameters, bins), *joint*.

    *joint* (bins) is its diagonal by the local parameters, 0 in bins without one, which do not mix with each other.
    """

    dense: Floats
    cross: Floats
    joint: Floats

    def profiled(self, free: Booleans) -> Floats:
        """Return the Hessian by the dense parameters, those of these bins (booleans) eliminated (Schur)."""
        cross = self.cross[:, free]
        schur: Floats = self.dense - (cross / self.joint[free]) @ cross.T
        return schur


class Slopes(NamedTuple):
    """Derivatives of the rates of the bins of one channel by the dense *owners*, and of their parts local ones."""

    bins: slice
    owners: Integers
    rates: Floats
    under: Floats


def slopes(blocks: Blocks, shared: Shared, gamma: Floats) -> list[Slopes]:
    """Return the derivatives of the rates of every channel, (parameters that act there, bins); local ones *gamma*."""
    found: dict[int, list[int]] = {}
    for c, cell in enumerate(blocks.cells):
        found.setdefault(cell.bins.start, []).append(c)
    return [_channel(blocks, shared, gamma, cells) for cells in found.values()]


def _channel(blocks: Blocks, shared: Shared, gamma: Floats, cells: list[int]) -> Slopes:
    rows = [blocks.cells[c] for c in cells]
    owners = np.unique(np.concatenate([part for row in rows for part in (row.owners, blocks.owners[row.norms])]))
    size = rows[0].bins.stop - rows[0].bins.start
    rates, under = np.zeros((len(owners), size)), np.zeros((len(owners), size))
    for c, cell in zip(cells, rows, strict=True):
        factor, base = shared.factors[c, 0], shared.bases[c][:, 0]
        change = np.zeros_like(rates)
        change[np.searchsorted(owners, blocks.owners[cell.norms])] = np.outer(shared.ratios[cell.norms, 0], base)
        if len(cell.owners):
            change[np.searchsorted(owners, cell.owners)] += cell.odd + shared.turn[cell.owners] * cell.even
        change *= factor
        under += change if cell.local else 0.0
        rates += change * gamma[cell.bins, 0] if cell.local else change
    return Slopes(rows[0].bins, owners, rates, under)


def curvature(blocks: Blocks, lanes: Lanes, shared: Shared, bins: Profiled) -> Curvature:
    """Return the exact Hessian at a point (one lane) where the local parameters are those of *bins*."""
    dense, cross = np.zeros((len(lanes.x),) * 2), np.zeros((len(lanes.x), len(blocks.local)))
    for part in slopes(blocks, shared, bins.gamma):
        two, one, under = (row[part.bins, 0] for row in (bins.two, bins.residual, bins.under))
        dense[np.ix_(part.owners, part.owners)] += (part.rates * two) @ part.rates.T
        cross[part.owners, part.bins] = part.rates * (two * under) + part.under * one
    _second(blocks, shared, bins, dense)
    diagonal = np.zeros(len(dense))
    diagonal[blocks.normal] = 1.0 / blocks.width[blocks.normal, 0] ** 2
    p = blocks.poisson
    diagonal[p] = np.where(lanes.centre[p, 0] > 0.0, lanes.centre[p, 0] / lanes.x[p, 0] ** 2, 0.0)
    dense[np.diag_indices_from(dense)] += diagonal
    return Curvature(dense, cross, np.where(blocks.kinds >= 0, bins.joint[:, 0], 0.0))


def _second(blocks: Blocks, shared: Shared, bins: Profiled, dense: Floats) -> None:
    """Add what the second derivatives of the rates contribute."""
    for c, cell in enumerate(blocks.cells):
        pull = bins.residual[cell.bins, 0] * (bins.gamma[cell.bins, 0] if cell.local else 1.0)
        factor, total, norms = shared.factors[c, 0], float(pull @ shared.bases[c][:, 0]), blocks.owners[cell.norms]
        ratios = shared.ratios[cell.norms, 0]
        pairs = np.outer(factor * total * ratios, ratios)
        pairs[np.diag_indices_from(pairs)] = factor * total * shared.bends[cell.norms, 0]
        dense[np.ix_(norms, norms)] += pairs
        if len(cell.owners):
            even = cell.even @ pull
            change = factor * (cell.odd @ pull + shared.turn[cell.owners, 0] * even)
            dense[cell.owners, cell.owners] += factor * shared.curl[cell.owners, 0] * even
            mixed = np.outer(change, ratios)
            dense[np.ix_(cell.owners, norms)] += mixed
            dense[np.ix_(norms, cell.owners)] += mixed.T


def at(blocks: Blocks, lanes: Lanes) -> Curvature:
    """Return the exact Hessian at one point, all local parameters as they are."""
    held = lanes._replace(held=np.ones_like(lanes.held))
    shared = blocks.shared(held.x, bent=True)
    return curvature(blocks, held, shared, blocks.profile(held, shared))

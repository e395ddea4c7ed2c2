"""The exact Hessian of -ln L in blocks, its Schur complement, and the slopes of all rates (one point each)."""

from typing import NamedTuple

import numpy as np

from nuisflow.likelihood.blocks.evaluation import Blocks, Lanes, Profiled, Shared
from nuisflow.likelihood.histfactory import Booleans, Floats, Integers


class Curvature(NamedTuple):
    """The Hessian of -ln L, nothing profiled: *dense* (parameters, parameters), *cross* (parameters, bins), *joint*.

    *joint* (bins) is its diagonal by the local parameters, 0 in bins without one, which do not mix with each other.
    *channels*: the parameters that act in each, and its bins; elsewhere *cross* is 0.
    """

    dense: Floats
    cross: Floats
    joint: Floats
    channels: list[tuple[Integers, slice]]

    def profiled(self, free: Booleans) -> Floats:
        """Return the Hessian by the dense parameters, those of these bins (booleans) eliminated (Schur)."""
        schur, scale = self.dense.copy(), np.sqrt(np.where(free, self.joint, 1.0))
        for owners, bins in self.channels:
            cross = self.cross[owners, bins][:, free[bins]] / scale[bins][free[bins]]
            schur[np.ix_(owners, owners)] -= cross @ cross.T
        return schur


class Slopes(NamedTuple):
    """Derivatives of the rates of the bins of one channel by the dense *owners*, and of their parts local ones."""

    bins: slice
    owners: Integers
    rates: Floats
    under: Floats


def slopes(blocks: Blocks, shared: Shared, gamma: Floats) -> list[Slopes]:
    """Return the derivatives of the rates of every channel, (parameters that act there, bins); local ones *gamma*."""
    return [_channel(blocks, shared, gamma, cells) for cells in blocks.channels.values()]


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
    dense, cross, parts = np.zeros((len(lanes.x),) * 2), np.zeros((len(lanes.x), len(blocks.local))), []
    for part in slopes(blocks, shared, bins.gamma):
        two, one, under = (row[part.bins, 0] for row in (bins.two, bins.residual, bins.under))
        dense[np.ix_(part.owners, part.owners)] += (part.rates * two) @ part.rates.T
        cross[part.owners, part.bins] = part.rates * (two * under) + part.under * one
        _second(blocks, shared, bins, part, dense)
        parts.append((part.owners, part.bins))
    diagonal = np.zeros(len(dense))
    diagonal[blocks.normal] = 1.0 / blocks.width[blocks.normal, 0] ** 2
    p = blocks.poisson
    counts, factors = lanes.centre[p, 0], lanes.x[p, 0]
    diagonal[p] = np.divide(counts, factors**2, out=np.zeros_like(counts), where=counts > 0.0)
    dense[np.diag_indices_from(dense)] += diagonal
    one, other = blocks.plan.pairs.T
    for ends in ((one, other), (other, one)):
        np.add.at(dense, ends, blocks.plan.couplings[:-1])
    return Curvature(dense, cross, np.where(blocks.kinds >= 0, bins.joint[:, 0], 0.0), parts)


def _second(blocks: Blocks, shared: Shared, bins: Profiled, part: Slopes, dense: Floats) -> None:
    """Add what the second derivatives of the rates of a channel contribute: norms with norms, and with shapes."""
    cells = blocks.channels[part.bins.start]
    norms, shapes = np.zeros((2, len(cells), len(part.owners)))
    weights, diagonal = np.zeros(len(cells)), np.zeros(len(part.owners))
    for row, c in enumerate(cells):
        cell, factor = blocks.cells[c], shared.factors[c, 0]
        pull = bins.residual[cell.bins, 0] * (bins.gamma[cell.bins, 0] if cell.local else 1.0)
        weights[row] = factor * float(pull @ shared.bases[c][:, 0])
        at, ratios = np.searchsorted(part.owners, blocks.owners[cell.norms]), shared.ratios[cell.norms, 0]
        norms[row, at] = ratios
        diagonal[at] += weights[row] * shared.bends[cell.norms, 0]
        if len(cell.owners):
            at, even = np.searchsorted(part.owners, cell.owners), cell.even @ pull
            shapes[row, at] = factor * (cell.odd @ pull + shared.turn[cell.owners, 0] * even)
            diagonal[at] += factor * shared.curl[cell.owners, 0] * even
    found, mixed = (norms * weights[:, None]).T @ norms, shapes.T @ norms
    np.fill_diagonal(found, diagonal)  # a factor that vanishes has no bend, and a ratio beyond all bounds
    dense[np.ix_(part.owners, part.owners)] += found + mixed + mixed.T


def at(blocks: Blocks, lanes: Lanes) -> Curvature:
    """Return the exact Hessian at one point, all local parameters as they are."""
    held = lanes._replace(held=np.ones_like(lanes.held))
    shared = blocks.shared(held.x, bent=True)
    return curvature(blocks, held, shared, blocks.profile(held, shared))

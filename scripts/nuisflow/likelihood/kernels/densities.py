"""Compiled likelihood of single events: densities that are products of learned ratios and responses.

The intensity at an event is the sum over processes p of Q_p(theta) r_p(x) S_p(x|z), where ln S_p is linear in the
coefficients D of the event: ln S_p = sum_c D_c m_c(z), with a monomial m_c per coefficient. What does not depend on the
event, rates and normalisations, is in Q_p and in the expected numbers N_p.
"""

# ruff: noqa: E741, PLR0912, PLR0917 (compiled functions take their arrays by position, and do much in one loop)

import math
import mmap
from typing import Any, NamedTuple

import numpy as np
from numba import types

from nuisflow.likelihood.histfactory import Booleans, Floats, Integers
from nuisflow.likelihood.kernels.compilation import compiled, entry

BLOCK = 256
"""Events of which everything stays in the fastest memory."""
CHUNK = 64 * BLOCK
"""Events after which memory of mapped ones is given back."""
TINY = 1e-300
"""Density below which there is no logarithm."""


class Structure(NamedTuple):
    """What a likelihood is made of, without data; P processes, F terms, n parameters, Z of them learned.

    Events belong to a term each (a fold of the events of a region, or a region with bins), terms to one of R regions.

    *number* (R, P): nominal yields; *region* (F): that of each term; *linear* (n, P): whether the parameter multiplies
    the process; *rates* (n, P, 8): the factor on it as of `interpolation.code4` (0: none); *learned* (Z): places of the
    learned parameters; *powers* (T, Z): exponents of the terms of the polynomials ln of yields *yields* (R, P, T)
    and of *norms* (F, P, T); *monomials* (C, Z): exponents that belong to the coefficients, those of process p from
    *first* (P + 1); *precision* (n, n): inverse covariance of the constraints; *lower*, *upper*, *scale* (n).
    """

    number: Floats
    region: Integers
    linear: Booleans
    rates: Floats
    learned: Integers
    powers: Integers
    yields: Floats
    norms: Floats
    monomials: Integers
    first: Integers
    precision: Floats
    lower: Floats
    upper: Floats
    scale: Floats


class Data(NamedTuple):
    """Events, those of term f from *start* (F + 1): *weight* (events), *ratio* (P, events), *slope* (C, events).

    *centre* (n): auxiliary measurements of the parameters. *mapped*: ratio and slope are files mapped into memory,
    which is given back when they have been read (never true of other arrays: they would be lost).
    """

    weight: Floats
    ratio: Floats
    slope: Floats
    start: Integers
    centre: Floats
    mapped: bool = False


_PAGE, _UNUSED = mmap.PAGESIZE, mmap.MADV_DONTNEED
_madvise: Any = types.ExternalFunction("madvise", types.intc(types.intp, types.intp, types.intc))


@compiled
def _release(data: Data, first: int, last: int) -> None:
    """Give back the memory of the events *first* to *last*, if they are mapped; they are read again when needed."""
    if data.mapped:
        for rows in (data.ratio, data.slope):
            for row in range(rows.shape[0]):
                begin = rows.ctypes.data + 8 * row * rows.shape[1]
                low, high = (begin + 8 * first) // _PAGE * _PAGE, (begin + 8 * last) // _PAGE * _PAGE
                if high > low:
                    _madvise(low, high - low, _UNUSED)


@compiled
def _monomials(powers: Integers, z: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the values (T), gradients (T, Z) and second derivatives (T, Z, Z) of monomials of *z*."""
    terms, size = powers.shape
    value, slope, bend = np.ones(terms), np.zeros((terms, size)), np.zeros((terms, size, size))
    table = np.ones((size, 1 + (powers.max() if powers.size else 0)))
    for k in range(size):
        for power in range(1, table.shape[1]):
            table[k, power] = table[k, power - 1] * z[k]
    for t in range(terms):
        for k in range(size):
            value[t] *= table[k, powers[t, k]]
        for k in range(size):
            if powers[t, k] == 0:
                continue
            for l in range(k, size):
                if powers[t, l] == 0:
                    continue
                one, two = 1.0, 1.0
                for j in range(size):
                    power = powers[t, j]
                    if power == 0:
                        continue
                    first = power * table[j, power - 1] if j == k else table[j, power]
                    one *= first
                    if j == k and j == l:
                        two *= power * (power - 1) * table[j, max(power - 2, 0)]
                    elif j == l:
                        two *= power * table[j, power - 1]
                    else:
                        two *= first
                slope[t, k] = one
                bend[t, k, l] = bend[t, l, k] = two
    return value, slope, bend


@compiled
def _rate(row: Floats, x: float) -> tuple[float, float, float]:
    """Return ln of the factor of a rate at *x* and its derivatives: code 4, a power beyond 1, a polynomial within."""
    if abs(x) >= 1.0:
        slope = row[6] if x > 0.0 else -row[7]
        return slope * x, slope, 0.0
    value, first, second = 0.0, 0.0, 0.0
    for power in range(6, 0, -1):  # Horner's rule, of the factor minus 1 over x and its derivatives
        second = second * x + 2.0 * first
        first = first * x + value
        value = value * x + row[power - 1]
    second = second * x + 2.0 * first
    first = first * x + value
    value = value * x + 1.0
    return math.log(value), first / value, second / value - (first / value) ** 2


@compiled
def _rates(s: Structure, theta: Floats) -> tuple[Floats, Floats, Floats]:
    """Return kappa (P), the factor on every process, and its derivatives (P, n) and (P, n, n)."""
    n, processes = s.linear.shape
    value, slope, bend = np.ones(processes), np.zeros((processes, n)), np.zeros((processes, n, n))
    for p in range(processes):
        power, log, curve, log2 = 0.0, np.zeros(n), np.zeros(n), 0.0
        for k in range(n):
            part, log[k], curve[k] = _rate(s.rates[k, p], theta[k])
            power += part
        common = math.exp(power)
        for k in range(n):
            if s.linear[k, p]:
                common *= theta[k]
        value[p] = common
        for k in range(n):
            # The product of all linear factors but k (and l), so that a factor of 0 does no harm.
            one = math.exp(power)
            for j in range(n):
                if s.linear[j, p] and j != k:
                    one *= theta[j]
            slope[p, k] = (one if s.linear[k, p] else 0.0) + common * log[k]
            for l in range(n):
                two, log2 = math.exp(power), 0.0
                for j in range(n):
                    if s.linear[j, p] and j not in (k, l):
                        two *= theta[j]
                other = math.exp(power)
                for j in range(n):
                    if s.linear[j, p] and j != l:
                        other *= theta[j]
                if s.linear[k, p] and s.linear[l, p] and k != l:
                    log2 += two
                if s.linear[k, p]:
                    log2 += one * log[l]
                if s.linear[l, p]:
                    log2 += other * log[k]
                bend[p, k, l] = log2 + common * log[k] * log[l]
            bend[p, k, k] += common * curve[k]
    return value, slope, bend


@compiled
def _times_exponential(
    value: Floats, slope: Floats, bend: Floats, learned: Integers, g: Floats, g1: Floats, g2: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return *value* (P) times exp(g), and the derivatives, where g (P), g1 (P, Z), g2 (P, Z, Z) are of z alone."""
    processes, n = slope.shape
    size = len(learned)
    new, new1, new2 = np.empty(processes), slope.copy(), bend.copy()
    for p in range(processes):
        e = math.exp(g[p])
        new[p] = value[p] * e
        for k in range(n):
            new1[p, k] *= e
            for l in range(n):
                new2[p, k, l] *= e
        for a in range(size):
            k = learned[a]
            new1[p, k] += new[p] * g1[p, a]
            for l in range(n):
                new2[p, k, l] += e * slope[p, l] * g1[p, a]
                new2[p, l, k] += e * slope[p, l] * g1[p, a]
            for b in range(size):
                new2[p, k, learned[b]] += new[p] * (g2[p, a, b] + g1[p, a] * g1[p, b])
    return new, new1, new2


@compiled
def _sums(
    s: Structure, data: Data, term: int, q: Floats, m: Floats, m1: Floats
) -> tuple[float, Floats, Floats, Floats]:
    """Return sums over the events of one term: ln A, U (P), V (C) and G (P + Z, P + Z) with W (P, Z, Z) behind it.

    A = sum_p q_p r_p S_p; u_p = r_p S_p / A; t_k = sum_p q_p u_p s_pk with s_pk = d ln S_p / dz_k. U sums u_p, V sums
    u_p D_c, W sums u_p s_pk s_pl, and G the products of v = (u_1 ... u_P, t_1 ... t_Z) with themselves.
    """
    processes, size, count = s.number.shape[1], len(s.learned), s.monomials.shape[0]
    vectors = processes + size
    log, u_sum, v_sum = 0.0, np.zeros(processes), np.zeros(count)
    products = np.zeros((vectors + processes * size, vectors))
    v, slopes = np.empty((vectors, BLOCK)), np.empty((size, BLOCK))
    total, weighted = np.empty(BLOCK), np.empty(BLOCK)
    for begin in range(data.start[term], data.start[term + 1], BLOCK):
        length = min(BLOCK, data.start[term + 1] - begin)
        if begin > data.start[term] and (begin - data.start[term]) % CHUNK == 0:
            _release(data, begin - CHUNK, begin)
        total[:] = 0.0
        for p in range(processes):
            u = v[p]
            u[:] = 0.0
            for c in range(s.first[p], s.first[p + 1]):
                d, factor = data.slope[c, begin : begin + length], m[c]
                for i in range(length):
                    u[i] += d[i] * factor
            r = data.ratio[p, begin : begin + length]
            for i in range(length):
                u[i] = r[i] * math.exp(u[i])
            for i in range(length):
                total[i] += q[p] * u[i]
        w = data.weight[begin : begin + length]
        for i in range(length):
            if not total[i] > TINY and w[i] != 0.0:
                return -math.inf, u_sum, v_sum, products
            log += w[i] * math.log(max(total[i], TINY))
        for i in range(length):
            total[i] = 1.0 / max(total[i], TINY)
        for p in range(processes):
            u = v[p]
            for i in range(length):
                u[i] *= total[i]
        for k in range(size):
            v[processes + k] = 0.0
        for p in range(processes):
            u = v[p]
            for i in range(length):
                weighted[i] = w[i] * u[i]
            part = 0.0
            for i in range(length):
                part += weighted[i]
            u_sum[p] += part
            if s.first[p] == s.first[p + 1]:
                continue
            for k in range(size):
                slopes[k] = 0.0
            for c in range(s.first[p], s.first[p + 1]):
                d, part = data.slope[c, begin : begin + length], 0.0
                for i in range(length):
                    part += weighted[i] * d[i]
                v_sum[c] += part
                for k in range(size):
                    factor, target = m1[c, k], slopes[k]
                    if factor != 0.0:
                        for i in range(length):
                            target[i] += factor * d[i]
            for k in range(size):
                one, target, row = slopes[k], v[processes + k], products[vectors + p * size + k]
                for i in range(length):
                    target[i] += q[p] * u[i] * one[i]
                for l in range(k + 1):
                    two, part = slopes[l], 0.0
                    for i in range(length):
                        part += weighted[i] * one[i] * two[i]
                    row[l] += part
        for a in range(vectors):
            one = v[a]
            for i in range(length):
                weighted[i] = w[i] * one[i]
            for b in range(a + 1):
                two, part = v[b], 0.0
                for i in range(length):
                    part += weighted[i] * two[i]
                products[a, b] += part
    _release(data, max(data.start[term], data.start[term + 1] - CHUNK), data.start[term + 1])
    return log, u_sum, v_sum, products


@compiled
def _assembled(
    s: Structure, q1: Floats, q2: Floats, q: Floats, m1: Floats, m2: Floats, u: Floats, v: Floats, products: Floats
) -> tuple[Floats, Floats]:
    """Return gradient (n) and Hessian (n, n) of the sum of ln A over the events of one term, from its `_sums`."""
    processes, n = q1.shape
    size, vectors = len(s.learned), processes + len(s.learned)
    gradient, hessian = np.zeros(n), np.zeros((n, n))
    for p in range(processes):
        slope, bend = np.zeros(size), np.zeros((size, size))
        for c in range(s.first[p], s.first[p + 1]):
            for k in range(size):
                slope[k] += v[c] * m1[c, k]
                for l in range(size):
                    bend[k, l] += v[c] * m2[c, k, l]
        for k in range(n):
            gradient[k] += q1[p, k] * u[p]
            for l in range(n):
                hessian[k, l] += q2[p, k, l] * u[p]
        for a in range(size):
            k = s.learned[a]
            gradient[k] += q[p] * slope[a]
            for l in range(n):
                hessian[k, l] += q1[p, l] * slope[a]
                hessian[l, k] += q1[p, l] * slope[a]
            for b in range(size):
                square = products[vectors + p * size + max(a, b), min(a, b)]
                hessian[k, s.learned[b]] += q[p] * (square + bend[a, b])
    jacobian = np.zeros((n, vectors))
    for k in range(n):
        for p in range(processes):
            jacobian[k, p] = q1[p, k]
    for a in range(size):
        jacobian[s.learned[a], processes + a] = 1.0
    half = np.zeros((n, vectors))
    for k in range(n):
        for a in range(vectors):
            if jacobian[k, a] != 0.0:
                for b in range(vectors):
                    half[k, b] += jacobian[k, a] * (products[a, b] if a >= b else products[b, a])
    for k in range(n):
        for l in range(n):
            for b in range(vectors):
                hessian[k, l] -= half[k, b] * jacobian[l, b]
    return gradient, hessian


@entry
def evaluate(s: Structure, data: Data, theta: Floats) -> tuple[float, Floats, Floats]:
    """Return -2 ln L (infinite where an event is impossible), its gradient (n) and its Hessian (n, n)."""
    n, size = len(theta), len(s.learned)
    z = np.empty(size)
    for a in range(size):
        z[a] = theta[s.learned[a]]
    m, m1, m2 = _monomials(s.monomials, z)
    t, t1, t2 = _monomials(s.powers, z)
    kappa, kappa1, kappa2 = _rates(s, theta)
    value, gradient, hessian = 0.0, np.zeros(n), np.zeros((n, n))
    for k in range(n):
        for l in range(n):
            if s.precision[k, l] != 0.0:
                force = 2.0 * s.precision[k, l] * (theta[l] - data.centre[l])
                value += 0.5 * force * (theta[k] - data.centre[k])
                gradient[k] += force
                hessian[k, l] += 2.0 * s.precision[k, l]
    for region in range(s.number.shape[0]):
        g, g1, g2 = _polynomials(s.yields[region], t, t1, t2)
        expected, expected1, expected2 = _times_exponential(kappa, kappa1, kappa2, s.learned, g, g1, g2)
        for p in range(s.number.shape[1]):
            value += 2.0 * s.number[region, p] * expected[p]
            gradient += 2.0 * s.number[region, p] * expected1[p]
            hessian += 2.0 * s.number[region, p] * expected2[p]
        for term in range(len(s.region)):
            if s.region[term] != region or data.start[term] == data.start[term + 1]:
                continue
            h, h1, h2 = _polynomials(s.norms[term], t, t1, t2)
            q, q1, q2 = _times_exponential(expected, expected1, expected2, s.learned, -h, -h1, -h2)
            log, u, v, products = _sums(s, data, term, q, m, m1)
            if log == -math.inf:
                return math.inf, gradient, hessian
            first, second = _assembled(s, q1, q2, q, m1, m2, u, v, products)
            value -= 2.0 * log
            gradient -= 2.0 * first
            hessian -= 2.0 * second
    return value, gradient, hessian


@compiled
def _polynomials(coefficients: Floats, t: Floats, t1: Floats, t2: Floats) -> tuple[Floats, Floats, Floats]:
    """Return polynomials with *coefficients* (P, T) and their derivatives from those of the terms."""
    processes, terms = coefficients.shape
    size = t1.shape[1]
    value, slope, bend = np.zeros(processes), np.zeros((processes, size)), np.zeros((processes, size, size))
    for p in range(processes):
        for i in range(terms):
            c = coefficients[p, i]
            if c == 0.0:
                continue
            value[p] += c * t[i]
            for k in range(size):
                slope[p, k] += c * t1[i, k]
                for l in range(size):
                    bend[p, k, l] += c * t2[i, k, l]
    return value, slope, bend

"""Prints the polynomial coefficients of ashlar/kernels/vec_math.h: minimax fits by Remez exchange,
each coefficient rounded to float32 from the lowest order up, the rest fitted again.

    python3 tests/oracles/fit_vec_math.py    (needs mpmath and numpy)
"""

import mpmath as mp
import numpy as np

mp.mp.dps = 40


def remez(f, weight, low, high, powers):
    """Coefficients c minimising max |weight(x) (sum c_k x^powers[k] - f(x))| on [low, high]."""
    n = len(powers)
    grid = [low + (high - low) * (1 - mp.cos(mp.pi * i / 800)) / 2 for i in range(801)]
    grid = [x for x in grid if x != 0 or 0 in powers]
    target, weights = [f(x) for x in grid], [weight(x) for x in grid]
    picks = [round(i * (len(grid) - 1) / n) for i in range(n + 1)]
    for _ in range(30):
        rows = [[grid[i] ** p for p in powers] + [(-1) ** k / weights[i]]
                for k, i in enumerate(picks)]
        solution = mp.lu_solve(mp.matrix(rows), mp.matrix([target[i] for i in picks]))
        c = [solution[k] for k in range(n)]
        errors = [w * (sum(ck * x ** p for ck, p in zip(c, powers)) - t)
                  for x, w, t in zip(grid, weights, target)]
        # One extremum for each run of equal sign, the n + 1 largest neighbours of them kept.
        extrema = []
        for i, e in enumerate(errors):
            if extrema and (errors[extrema[-1]] > 0) == (e > 0):
                if abs(e) > abs(errors[extrema[-1]]):
                    extrema[-1] = i
            else:
                extrema.append(i)
        while len(extrema) > n + 1:
            first_smaller = abs(errors[extrema[0]]) < abs(errors[extrema[-1]])
            extrema.pop(0 if first_smaller else -1)
        if len(extrema) < n + 1 or extrema == picks:
            break
        picks = extrema
    return c, max(abs(e) for e in errors)


def fit(name, f, weight, low, high, powers):
    left, known = list(powers), {}
    while left:
        def rest(x):
            return f(x) - sum(mp.mpf(c) * x ** p for p, c in known.items())
        c, error = remez(rest, weight, mp.mpf(low), mp.mpf(high), left)
        known[left.pop(0)] = float(np.float32(float(c[0])))
    print(f"{name}: weighted error {mp.nstr(error, 3)}")
    for p in powers:
        print(f"  x^{p}: {float(np.float32(known[p])):.9g}f")


half_ln2 = mp.log(2) / 2
fit("exp(x) = 1 + x + x^2 P(x)", lambda x: (mp.exp(x) - 1 - x) / x**2 if x else mp.mpf(1) / 2,
    lambda x: x**2 / mp.exp(x), -half_ln2, half_ln2, range(5))
fit("log(1 + x) = x - x^2 / 2 + x^3 P(x)",
    lambda x: (mp.log(1 + x) - x + x**2 / 2) / x**3 if abs(x) > 1e-9 else mp.mpf(1) / 3,
    lambda x: x**3 / mp.log(1 + x) if abs(x) > 1e-9 else mp.mpf(1e-18),
    mp.sqrt(mp.mpf(1) / 2) - 1, mp.sqrt(2) - 1, range(9))
fit("tanh(x) = x + x z P(z), z = x^2",
    lambda z: (mp.tanh(mp.sqrt(z)) / mp.sqrt(z) - 1) / z if z else -mp.mpf(1) / 3,
    lambda z: z / (mp.tanh(mp.sqrt(z)) / mp.sqrt(z)) if z else mp.mpf(1e-18), 0, 0.625**2, range(5))
fit("erf(x) = x + x P(z), z = x^2, below 1",
    lambda z: mp.erf(mp.sqrt(z)) / mp.sqrt(z) - 1 if z else 2 / mp.sqrt(mp.pi) - 1,
    lambda z: 1 / (mp.erf(mp.sqrt(z)) / mp.sqrt(z)) if z else mp.sqrt(mp.pi) / 2, 0, 1, range(7))
fit("-log(erfc(x)) = P(x), 1 to 4", lambda x: -mp.log(mp.erfc(x)),
    lambda x: mp.erfc(x) / mp.erf(x), 1, 4, range(8))

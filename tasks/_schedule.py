"""Times at which a course of work is looked at."""


def quadratic(last: float, points: int) -> list[float]:
    """`points` times from 0 to `last`, denser early: last * (i / (points - 1))^2."""
    return [last * (i / (points - 1)) ** 2 for i in range(points)]

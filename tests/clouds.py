"""Two sets of points for measures of real against generated ones."""

import torch


def cloud(seed, n=120, d=6, *, spread=1.0, shift=0.0, dtype=torch.float32):
    """Points of a normal distribution with correlated features."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.eye(d, dtype=torch.float64) + 0.3 * torch.ones(d, d, dtype=torch.float64).tril(-1)
    points = torch.randn(n, d, generator=generator, dtype=torch.float64) @ mixing
    return (spread * points + shift).to(dtype)


def values(rows):
    """Values by side and metric, of rows that are of no class."""
    return {(row["side"], row["metric"]): row["value"] for row in rows if not row["group"]}

"""Rows are told apart by fingerprints, whatever their values' bits look like."""

from itertools import product

import pytest
import torch

from snnl_core import DeepKNN
from snnl_core.bank import Rows
from snnl_core.layers import fingerprints


def of(x):
    return fingerprints({"a": Rows.of(x, "sqeuclidean")})


@pytest.mark.parametrize("values, d", [((-1.0, 1.0), 8), ((-1.0, 1.0), 13), ((0.0, 1.0), 12), ((0.0, 2.0, 4.0), 7)])
def test_rows_of_signs_and_of_whole_numbers_differ(values, d):
    """Their bits end in zeros, which stay at the end of a product."""
    x = torch.tensor([*product(values, repeat=d)])
    assert len(of(x).unique()) == len(x)


def test_equal_rows_have_equal_ones_in_whatever_dtype_and_zeros_have_no_sign():
    x = torch.randn(50, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(of(x), of(x.double())) and torch.equal(of(-0.0 * x), of(torch.zeros(50, 5)))


def test_sign_codes_that_were_not_fitted_are_calibrated_on():
    generator = torch.Generator().manual_seed(0)
    codes = (torch.randn(3000, 10, generator=generator) @ torch.randn(10, 12, generator=generator)).sign().unique(dim=0)
    one, other = codes[::2], codes[1::2]
    labels = torch.arange(len(one)) % 2
    knn = DeepKNN(5).fit({"a": one}, labels)
    knn.calibrate({"a": other}, labels[: len(other)])
    with pytest.raises(ValueError, match="row 3 equals a fitted row in all layers; 1 of"):
        knn.calibrate({"a": torch.cat([other[:3], one[:1]])}, labels[:4])

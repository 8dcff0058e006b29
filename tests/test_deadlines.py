"""How long an example takes says nothing where tests share the processor with others."""

import time

from hypothesis import given, settings
from hypothesis import strategies as st


@settings(max_examples=1)
@given(st.just(0.25))
def test_an_example_may_take_its_time(seconds):
    time.sleep(seconds)

"""Numbers as people read them."""

import pytest

from stock_assets.number_format import compact, percent, plain, signed_percent


@pytest.mark.parametrize(
    ("value", "text"),
    [(405_464, "405,464"), (1685861.28, "1,685,861"), (0, "0"), (7.0, "7"), (12.345, "12.3"), (0.8867, "0.887")],
)
def test_plain(value: float, text: str) -> None:
    assert plain(value) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0.371, "37.1 %"), (0, "0.0 %"), (0.9994, "99.9 %"), (0.9996, "100 %"), (50, "5,000 %")]
)
def test_percent(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(("share", "text"), [(0.045, "+4.5 %"), (-0.003, "-0.3 %"), (-2.4, "-240 %")])
def test_signed_percent(share: float, text: str) -> None:
    assert signed_percent(share) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1, "1"), (100, "100"), (999.9, "1 k"), (12_345, "12.3 k"), (1e6, "1 M"), (2.5e9, "2.5 bn"), (1e12, "1,000 bn")],
)
def test_compact(value: float, text: str) -> None:
    assert compact(value) == text

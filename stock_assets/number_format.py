"""Numbers as people read them, for cards and pictures: 405,464; 37.1 %; +4.5 %; 12.3 k."""

_UNITS = ((1e9, " bn"), (1e6, " M"), (1e3, " k"))


def plain(value: float) -> str:
    """Whole numbers and those from 100 on without decimals, smaller ones with three digits."""
    whole = float(value).is_integer() or abs(value) >= 100
    return f"{value:,.0f}" if whole else f"{value:.3g}"


def percent(share: float) -> str:
    """A share as a percentage: 0.371 is 37.1 %."""
    return f"{100 * share:,.{_decimals(share)}f} %"


def signed_percent(share: float) -> str:
    """A share with its sign: 0.045 is +4.5 %."""
    return f"{100 * share:+,.{_decimals(share)}f} %"


def compact(value: float) -> str:
    """Three digits and a unit: 12,345 is 12.3 k."""
    short = float(f"{value:.3g}")
    size, unit = next(((size, unit) for size, unit in _UNITS if abs(short) >= size), (1, ""))
    return f"{short / size:,g}{unit}"


def _decimals(share: float) -> int:
    return 0 if abs(share) >= 0.9995 else 1

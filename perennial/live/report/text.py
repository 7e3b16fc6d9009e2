"""Numbers, metrics and times as people read them."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

ABSENT = "–"
_SPELT = {"auc": "AUC", "f1": "F1", "mae": "MAE", "mape": "MAPE", "r2": "R²", "rmse": "RMSE", "roc": "ROC"}
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def is_number(value: object) -> bool:
    """Whether `value` is a finite number; None, NaN, infinities, booleans and text are not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def as_float(value: object) -> float:
    """`value` as a float; NaN for everything that `is_number` refuses."""
    return float(value) if isinstance(value, (int, float)) and is_number(value) else math.nan


def fixed_text(value: object, decimals: int) -> str:
    """A number with thousands separators, so many decimals and a true minus sign; a dash for none.

    >>> fixed_text(-12345.678, 1), fixed_text(None, 1)
    ('−12,345.7', '–')
    """
    if not is_number(value):
        return ABSENT
    text = f"{as_float(value):,.{decimals}f}"
    return text.replace("-", "−") if float(text.replace(",", "")) else text.lstrip("-")


def number_text(value: object, digits: int = 4) -> str:
    """A number with `digits` significant digits; a dash where there is no finite number.

    >>> [number_text(x) for x in (0.91234, 12345.6, 1200000, 1.5e-7, float("nan"), None)]
    ['0.9123', '12,346', '1,200,000', '1.5 × 10⁻⁷', '–', '–']
    """
    if not is_number(value):
        return ABSENT
    number = as_float(value)
    if number == 0:
        return "0"
    exponent = math.floor(math.log10(abs(number)))
    if not -5 < exponent < 15:
        mantissa, power = f"{number:.{digits - 1}e}".split("e")
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        return f"{mantissa.replace('-', '−')} × 10{str(int(power)).translate(_SUPERSCRIPT)}"
    text = fixed_text(number, max(0, digits - 1 - exponent))
    return text.rstrip("0").rstrip(".") if "." in text else text


def interval_decimals(low: object, high: object) -> int | None:
    """The decimals that leave two significant digits of the interval's half width; None without a width."""
    half = abs(as_float(high) - as_float(low)) / 2
    if not math.isfinite(half) or half < 1e-12:
        return None
    return min(8, max(0, 1 - math.floor(math.log10(half))))


def interval_text(value: object, low: object, high: object) -> str:
    r"""An estimate with its interval, rounded as the interval's width deserves; a line breaks before it only.

    >>> interval_text(0.91234, 0.8811, 0.9402), interval_text(812.31, 790.0, 834.4)
    ('0.912 [0.881,\xa00.940]', '812 [790,\xa0834]')
    """
    decimals = interval_decimals(low, high)
    if decimals is None or not is_number(value):
        return number_text(value)
    shown = [fixed_text(v, decimals) for v in (value, low, high)]
    if max(len(text) for text in shown) > 16:
        shown = [number_text(v) for v in (value, low, high)]
    return f"{shown[0]} [{shown[1]},\u00a0{shown[2]}]"


def p_value_text(value: object) -> str:
    """A p value with two significant digits, never a bare zero.

    >>> p_value_text(0.0321), p_value_text(0.0)
    ('0.032', '< 0.001')
    """
    return "< 0.001" if is_number(value) and as_float(value) < 0.001 else number_text(value, 2)


def metric_text(name: str) -> str:
    """A metric's name in words, as it stands within a sentence.

    >>> metric_text("mean_absolute_error"), metric_text("log_loss_error"), metric_text("roc_auc_score")
    ('mean absolute error', 'log loss', 'ROC AUC')
    """
    words = name.removesuffix("_score").replace("_loss_error", "_loss").split("_")
    return " ".join(_SPELT.get(word, word) for word in words if word)


def metric_title(name: str) -> str:
    """A metric's name in words, as it starts a sentence.

    >>> metric_title("mean_absolute_error")
    'Mean absolute error'
    """
    text = metric_text(name)
    return text[:1].upper() + text[1:]


def with_unit(name: str, unit: str) -> str:
    """A quantity with its unit in brackets; dimensionless ones ("1" or "") stand alone.

    >>> with_unit("price", "GBP"), with_unit("share of rows", "1")
    ('price (GBP)', 'share of rows')
    """
    return name if unit in ("", "1") else f"{name} ({unit})"


def target_text(target: str, unit: str) -> str:
    """A target's name in words, without the unit that its column may end in.

    >>> target_text("price_gbp", "GBP"), target_text("label", "")
    ('price', 'label')
    """
    return (target.removesuffix(f"_{unit.lower()}") if unit else target).replace("_", " ")


def time_text(moment: datetime) -> str:
    """A time in UTC; a naive one is taken as UTC.

    >>> time_text(datetime(2024, 5, 1, 9, 30, tzinfo=UTC))
    '2024-05-01 09:30 UTC'
    """
    utc = moment.astimezone(UTC) if moment.tzinfo else moment
    return f"{utc:%Y-%m-%d %H:%M} UTC"


def percent_text(share: object) -> str:
    """A share as a percentage with three significant digits.

    >>> percent_text(0.9), percent_text(None)
    ('90 %', '–')
    """
    return f"{number_text(as_float(share) * 100, 3)} %" if is_number(share) else ABSENT


def rough_percent_text(share: float) -> str:
    """A share as a percentage with one decimal; never "0.0 %" of something that is there.

    >>> rough_percent_text(0.3), rough_percent_text(0.0001), rough_percent_text(0.0)
    ('30.0 %', 'under 0.1 %', '0.0 %')
    """
    return f"{'under 0.1' if 0 < share < 0.0005 else f'{100 * share:.1f}'} %"


def share_text(count: int, total: int) -> str:
    """A count with its share of `total`.

    >>> share_text(0, 10), share_text(3, 10), share_text(1, 100_000)
    ('none', '3 (30.0 %)', '1 (under 0.1 %)')
    """
    if not count or not total:
        return "none" if not count else f"{count:,}"
    return f"{count:,} ({rough_percent_text(count / total)})"


def count_text(count: int, noun: str) -> str:
    """A count with its noun, in the plural where that is due.

    >>> count_text(1, "row"), count_text(12045, "row")
    ('1 row', '12,045 rows')
    """
    return f"{count:,} {noun}{'s' * (count != 1)}"


def shortened(text: str, most: int) -> str:
    """`text` with an ellipsis in its middle where it is longer than `most` letters.

    >>> shortened("hist_gradient_boosting", 15)
    'hist_gr…oosting'
    """
    if len(text) <= most or most < 3:
        return text
    half = (most - 1) // 2
    return f"{text[: most - 1 - half]}…{text[len(text) - half :]}"


def file_name(title: str) -> str:
    """A title as the name of a file.

    >>> file_name("Accuracy, higher is better")
    'accuracy_higher_is_better'
    """
    return "_".join(re.findall(r"[a-z0-9]+", title.lower()))[:60]

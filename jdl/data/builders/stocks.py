"""The daily stock prices that the package bokeh-sampledata carries."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from jdl.data.builders.embedded import EmbeddedBuilder

TICKERS = ("AAPL", "FB", "GOOG", "IBM", "MSFT")
PRICES = ("open", "high", "low", "close", "adj_close")
# The first day of each split: no model is fitted on days that come after those it is tested on.
FIRST_DAYS = {"train": "2000-01-01", "validation": "2009-07-01", "test": "2011-01-01"}


class Stocks(EmbeddedBuilder):
    """Daily prices of five companies, March 2000 to March 2013, one example per company and day.

    Within a split, companies follow each other and the days of each are in order. Splits are cut by
    time, for all companies on the same days: train to June 2009, validation to December 2010, test
    after. Facebook and Google came to the exchange in May 2012 and August 2004.
    """

    name = "stocks"
    SPLITS = {"train": 8266, "validation": 1520, "test": 2368}  # noqa: RUF012
    HOMEPAGE = "https://github.com/bokeh/bokeh_sampledata"
    LICENSE = "bokeh-sampledata: BSD 3-clause"
    CITATION = """@misc{bokehsampledata, title={Sample data for Bokeh: daily stock prices},
  author={Bokeh Development Team}, howpublished={\\url{https://bokeh.org}}, year={2024}}"""

    def features(self) -> tfds.features.FeaturesDict:
        """Returns the features.

        ticker: the company. date: as "2000-03-01". open, high, low, close: dollars as paid on that
        day. adj_close: the close, corrected for later splits and dividends. volume: shares traded.
        """
        return tfds.features.FeaturesDict(
            {
                "ticker": tfds.features.ClassLabel(names=TICKERS),
                "date": tfds.features.Text(),
                **{price: tfds.features.Scalar(np.float32) for price in PRICES},
                "volume": tfds.features.Scalar(np.float32),
            }
        )

    def examples(self, split: str) -> Iterator[dict[str, Any]]:
        """Yields the days of a split, company by company."""
        from bokeh_sampledata import stocks

        later = [day for day in FIRST_DAYS.values() if day > FIRST_DAYS[split]]
        end = min(later, default="9999")
        for ticker in TICKERS:
            table = getattr(stocks, ticker)
            for i, date in enumerate(table["date"]):
                if FIRST_DAYS[split] <= date < end:
                    numbers = {name: float(table[name][i]) for name in (*PRICES, "volume")}
                    yield {"ticker": ticker, "date": date, **numbers}

"""BigQuery's REST API: datasets, tables and their rows, without queries and jobs.

Sources: BigQuery API reference v2 (datasets, tables, tabledata), and the pages named in the modules.
"""

from sandbox.google.bigquery import datasets, rows, tables
from sandbox.google.bigquery.api import api
from sandbox.google.bigquery.datasets import make_dataset
from sandbox.google.bigquery.rows import append
from sandbox.google.bigquery.tables import make_table

__all__ = ["api", "append", "datasets", "make_dataset", "make_table", "rows", "tables"]

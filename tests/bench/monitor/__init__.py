"""The monitor job beside Evidently: the same Parquet file, the same statistics, each to a written report."""

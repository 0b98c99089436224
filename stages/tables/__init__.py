"""Stages of the benchmark of imputers on tables, whose pipeline is `benchmarks/tables/dvc.yaml`."""

#: Where its params lie.
HOME = "benchmarks/tables"

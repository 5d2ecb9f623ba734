"""Public caption datasets: what they hold, where they come from, and whether a folder has all of one."""

from showtell.data.known.catalog import DATASETS, KnownDataset, Source, find_dataset
from showtell.data.known.check import DatasetCheck, check_dataset

__all__ = ["DATASETS", "DatasetCheck", "KnownDataset", "Source", "check_dataset", "find_dataset"]

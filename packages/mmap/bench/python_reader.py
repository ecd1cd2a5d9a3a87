#!/usr/bin/env python3
"""Megatron's own reader, for comparison: opens a dataset, copies sequences out in the order told, then all in order.

    PYTHONPATH=FOLDER_WITH_MEGATRON_CORE python packages/mmap/bench/python_reader.py PREFIX READS STEP

Sequence number (i * STEP) % count for each i below READS. Prints CPU microseconds a sequence, and the sum of all ids copied as a check.
"""
import json
import sys
import time

from megatron.core.datasets.indexed_dataset import IndexedDataset


def measured(work):
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


def main():
    prefix, reads, step = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    opening, dataset = measured(lambda: IndexedDataset(prefix))
    count = len(dataset)
    answer = {"openSeconds": opening, "sequences": count}
    if reads > 0:
        numbers = [(i * step) % count for i in range(reads)]
        seconds, last = measured(lambda: sum(int(dataset[i].copy()[-1]) for i in numbers))
        in_order, last_in_order = measured(lambda: sum(int(dataset[i].copy()[-1]) for i in range(count)))
        answer.update(
            randomMicroseconds=1e6 * seconds / reads,
            inOrderMicroseconds=1e6 * in_order / count,
            sums=[last, last_in_order],
        )
    print(json.dumps(answer))


if __name__ == "__main__":
    main()

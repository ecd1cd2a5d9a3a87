#!/usr/bin/env python3
"""The usual pipeline, for comparison: two processes encode with tokenizers, the parent writes through a builder.

    python packages/mmap/bench/python_pipeline.py INPUT.jsonl TOKENIZER.json OUTPUT_PREFIX EOD

As Megatron's tools/preprocess_data.py does it: `pool.imap` over lines in chunks of 32, ids as lists, one array per document. With
megatron-core installed its own IndexedDatasetBuilder writes, otherwise the same calls written out. Prints seconds and processor seconds.
"""
import json
import multiprocessing
import resource
import struct
import sys
import time

import numpy
from tokenizers import Tokenizer


class Builder:
    """What megatron.core.datasets.indexed_dataset.IndexedDatasetBuilder does for text."""

    def __init__(self, path, dtype):
        self.file, self.dtype, self.lengths, self.documents = open(path, "wb"), dtype, [], [0]

    def add_document(self, ids, lengths):
        self.file.write(numpy.array(ids, dtype=self.dtype).tobytes(order="C"))
        self.lengths.extend(lengths)
        self.documents.append(len(self.lengths))

    def finalize(self, path):
        self.file.close()
        pointers, at = [], 0
        for length in self.lengths:
            pointers.append(at)
            at += length * self.dtype().itemsize
        with open(path, "wb") as index:
            index.write(b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, 4, len(self.lengths), len(self.documents)))
            index.write(numpy.array(self.lengths, dtype=numpy.int32).tobytes())
            index.write(numpy.array(pointers, dtype=numpy.int64).tobytes())
            index.write(numpy.array(self.documents, dtype=numpy.int64).tobytes())


def start(path):
    global tokenizer
    tokenizer = Tokenizer.from_file(path)


def encode(line):
    return tokenizer.encode(json.loads(line)["text"], add_special_tokens=False).ids


def main():
    source, tokenizer_path, prefix, eod = sys.argv[1:5]
    began = time.time()
    builder = Builder(prefix + ".bin", numpy.int32)
    with multiprocessing.Pool(2, initializer=start, initargs=(tokenizer_path,)) as pool, open(source, encoding="utf8") as lines:
        for ids in pool.imap(encode, lines, 32):
            if ids:
                builder.add_document([*ids, int(eod)], [len(ids) + 1])
        pool.close()
        pool.join()
    builder.finalize(prefix + ".idx")
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(json.dumps({"seconds": time.time() - began, "cpuSeconds": sum(u.ru_utime + u.ru_stime for u in used)}))


if __name__ == "__main__":
    main()

"""Passes of other trainers: what an image passes through while a network of theirs learns.

Each is what ``ttfs.training.train`` takes, as those of ``ttfs.time_domain`` are: same optimiser,
same batches, same choice by validation images.
"""

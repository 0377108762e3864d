"""Samplers: examples to batches."""

from flambe.sampler.base import BaseSampler
from flambe.sampler.episodic import EpisodicSampler
from flambe.sampler.sampler import Sampler

__all__ = ["BaseSampler", "EpisodicSampler", "Sampler"]

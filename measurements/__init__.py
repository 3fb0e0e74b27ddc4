"""The pictures that benchmarks and drills draw of what they measured.

They share no more than that. A benchmark sends as much as the server takes and waits for each
answer (benchmarks/load.py); a drill sends at fixed times, whatever becomes of the answers, from a
pod that has no more of this repository than the text of k8s-tests/kit/inside/load.py. Samples of
several sides with ratios and targets are another table than faults with what they cost.
"""

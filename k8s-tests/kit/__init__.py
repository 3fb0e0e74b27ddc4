"""Tools of the tests of chart and cluster: rendering, a kind cluster, namespaces, loads, pods."""

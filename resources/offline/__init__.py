"""The offline stand-ins: rule-based twins of every service, so that the whole graph runs with no
network, no GPU and no key. They answer in the shapes of the real services and are honest in the
card: nothing they make is training data.
"""

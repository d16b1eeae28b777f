"""The protocol of NeuCo-Bench on any folder of labels, and an honest one beside it.

Source: NeuCo-Bench (Vinge et al., arXiv:2510.17914), https://github.com/embed2scale/NeuCo-Bench.
"""

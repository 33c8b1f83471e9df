"""resnet_lit: experiments with small residual networks that can be repeated, resumed and trusted."""

__version__ = "0.1.0"

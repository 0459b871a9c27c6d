"""Post-training quantization: a bundle's graphs in 8-bit integers."""

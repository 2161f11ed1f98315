//! Benchmarks and simulations.

fn main() {}

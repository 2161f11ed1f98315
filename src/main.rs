//! The modswarm command.

fn main() {}

//! The `murph` binary.

fn main() {}

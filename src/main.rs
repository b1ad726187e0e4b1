//! Arguments become one command.

fn main() {}

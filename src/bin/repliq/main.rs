//! The command line: `repliq VERB STORE …`.

fn main() {}

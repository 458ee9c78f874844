//! The C ABI from outside: the header, the exported names, and what C and C++ programs see of it.

#![allow(clippy::unwrap_used)]

#[path = "net/authority.rs"]
#[allow(dead_code)] // tests/net.rs uses the rest.
mod authority;
#[path = "abi/calls.rs"]
mod calls;
#[path = "abi/faces.rs"]
mod faces;
#[path = "abi/header.rs"]
mod header;
#[path = "abi/install.rs"]
mod install;
#[allow(dead_code)] // tests/conformance.rs uses the rest.
#[path = "conformance/interpreter.rs"]
mod interpreter;
#[path = "abi/language.rs"]
mod language;
#[path = "abi/misuse.rs"]
mod misuse;
#[path = "abi/named.rs"]
mod named;
#[path = "abi/refusals.rs"]
mod refusals;
#[path = "seeds/mod.rs"]
mod seeds;
#[path = "abi/sequences.rs"]
mod sequences;
#[path = "abi/together.rs"]
mod together;
#[path = "abi/tools.rs"]
mod tools;
#[path = "conformance/words.rs"]
mod words;

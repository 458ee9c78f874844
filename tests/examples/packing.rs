//! The bytes of `CScopeUQueue` as the tutorials in Rust and C make them, against the list for all languages.

use super::build;
use super::pack::{Eleven, Object, Packer, Unpacker};
use std::fs;
use std::path::Path;
use std::process::Command;

const VECTORS: &str = include_str!("../conformance/scope_queue.txt");

/// The types that the tutorials in Rust and C can pack and unpack.
const TYPES: &[&str] = &["bool", "i32", "i64", "f64", "time", "string", "object"];

fn from_hex(hex: &str) -> Vec<u8> {
    let pairs = (0..hex.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// The values and the bytes of a line.
fn split(line: &str) -> (&str, Vec<u8>) {
    let (values, hex) = line.rsplit_once(" = ").unwrap();
    (values, from_hex(hex))
}

fn lines() -> impl Iterator<Item = &'static str> {
    VECTORS.lines().filter(|line| !line.starts_with('#'))
}

/// The bytes of the line that begins so and has so many characters at least.
fn bytes_of(start: &str, length: usize) -> Vec<u8> {
    let line = lines().find(|line| line.starts_with(start) && line.len() > length).unwrap();
    split(line).1
}

/// The eleven fields, as they are in the list.
pub fn eleven() -> Vec<u8> {
    bytes_of("string null object null time", 0)
}

/// One value in quotes, or null.
fn quoted(text: &str) -> Option<String> {
    let inside = text.strip_prefix('"')?.strip_suffix('"').unwrap();
    Some(inside.replace("\\u0000", "\0"))
}

fn object(values: &str) -> Object {
    match values.split_once(' ') {
        None => Object::Null,
        Some(("bool", value)) => Object::Bool(value == "true"),
        Some(("i32", value)) => Object::I32(value.parse().unwrap()),
        Some(("i64", value)) => Object::I64(value.parse().unwrap()),
        Some(("f64", value)) => Object::F64(value.parse().unwrap()),
        Some((_, value)) => Object::Text(quoted(value).unwrap()),
    }
}

/// Packs one value, and unpacks it from `bytes`; whether both came out right.
fn both_ways(kind: &str, value: &str, bytes: &[u8]) -> bool {
    let mut from = Unpacker(bytes);
    let (packed, same) = match kind {
        "bool" => {
            let value = value == "true";
            (Packer::default().bool(value), from.bool() == Ok(value))
        }
        "i32" => {
            let value = value.parse().unwrap();
            (Packer::default().i32(value), from.i32() == Ok(value))
        }
        "i64" | "time" => {
            let value = value.parse().unwrap();
            (Packer::default().i64(value), from.i64() == Ok(value))
        }
        "f64" => {
            let value = value.parse().unwrap();
            (Packer::default().f64(value), from.f64() == Ok(value))
        }
        "string" => {
            let value = quoted(value);
            (Packer::default().string(value.as_deref()), from.string() == Ok(value))
        }
        _ => {
            let value = object(value);
            (Packer::default().object(&value), from.object() == Ok(value))
        }
    };
    packed.0 == bytes && same && from.end().is_ok()
}

fn fails(kind: &str, bytes: &[u8]) -> bool {
    let mut from = Unpacker(bytes);
    match kind {
        "bool" => from.bool().is_err(),
        "i32" => from.i32().is_err(),
        "i64" | "time" => from.i64().is_err(),
        "f64" => from.f64().is_err(),
        "string" => from.string().is_err(),
        _ => from.object().is_err(),
    }
}

#[test]
fn the_tutorial_in_rust_packs_the_bytes_of_the_list() {
    let (mut good, mut bad) = (0, 0);
    for line in lines() {
        let (values, bytes) = split(line);
        if let Some(kind) = values.strip_prefix("! ") {
            if TYPES.contains(&kind) {
                assert!(fails(kind, &bytes), "{line}");
                bad += 1;
            }
            continue;
        }
        let (kind, value) = values.split_once(' ').unwrap();
        let single = !value.contains("\" ") && !value.contains("null object");
        if TYPES.contains(&kind) && single {
            assert!(both_ways(kind, value, &bytes), "{line}");
            good += 1;
        }
    }
    assert!(good >= 35 && bad >= 15, "{good} {bad}");

    let bytes = eleven();
    let mut from = Unpacker(&bytes);
    let all: Eleven = from.eleven().unwrap();
    from.end().unwrap();
    assert_eq!(Packer::default().eleven(&all).0, bytes);
}

const C_PROGRAM: &str = r#"
int main(void)
{
    packer all = {{0}, 0, 0}, hello = {{0}, 0, 0}, numbers = {{0}, 0, 0};
    char text[1024];
    unpacker from = {all.bytes, 0, 0};
    pack_eleven(&all, 1700000000000000);
    from.left = all.len;
    unpack_eleven(&from, text, sizeof text);
    pack_string(&hello, "David");
    pack_string(&hello, "Young");
    pack_i32(&numbers, -2147483647 - 1);
    pack_i64(&numbers, 4294967296);
    pack_f64(&numbers, 1234.567);
    pack_bool(&numbers, 1);
    pack_string(&numbers, NULL);
    pack_string(&numbers, "");
    show(&all);
    show(&hello);
    show(&numbers);
    puts(text);
    return from.failed || from.left != 0 || all.failed;
}
"#;

#[test]
fn the_tutorial_in_c_packs_the_bytes_of_the_list() {
    let folder = tempfile::tempdir().unwrap();
    let (source, program) = (folder.path().join("pack.c"), folder.path().join("pack"));
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/hello_world/c/pack.h");
    let show = "static void show(const packer *p)\n{\n    size_t i;\n    for (i = 0; i < p->len; i++)\n\
                printf(\"%02x\", p->bytes[i]);\n    printf(\"\\n\");\n}\n";
    fs::write(&source, format!("#include \"{}\"\n{show}{C_PROGRAM}", header.display())).unwrap();
    build::compile(build::C, &source, &program);
    let output = Command::new(&program).output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let mut shown = text.lines();
    assert_eq!(from_hex(shown.next().unwrap()), eleven());
    assert_eq!(from_hex(shown.next().unwrap()), bytes_of("string \"David\" ", 0));
    let numbers = [
        "i32 -2147483648 ",
        "i64 4294967296 ",
        "f64 1234.567 ",
        "bool true ",
        "string null ",
        "string \"\" ",
    ];
    let numbers: Vec<u8> = numbers.iter().flat_map(|start| bytes_of(start, 0)).collect();
    assert_eq!(from_hex(shown.next().unwrap()), numbers);
    assert!(shown.next().unwrap().ends_with("test [Hello world] [1 76890]"));
}

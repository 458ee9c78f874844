//! `include/repliq.h` is what the sources say, byte for byte; `BLESS=1` accepts a change.
//!
//! The file is the head of `cbindgen.toml`, the codes from `src/error.rs`, the declarations as cbindgen makes
//! them from `src/capi`, and one initialiser for each struct that begins with its size.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

pub fn path() -> PathBuf {
    Path::new(ROOT).join("include/repliq.h")
}

/// The committed header.
pub fn committed() -> String {
    fs::read_to_string(path()).unwrap()
}

#[test]
fn the_committed_header_is_the_generated_one() {
    let generated = generate();
    if std::env::var_os("BLESS").is_some() {
        fs::write(path(), &generated).unwrap();
    }
    let committed = committed();
    let differs = generated.lines().zip(committed.lines()).position(|(new, old)| new != old);
    let line =
        differs.map_or(generated.lines().count().min(committed.lines().count()), |at| at) + 1;
    assert!(generated == committed, "include/repliq.h:{line} differs; BLESS=1 accepts the change");
}

fn generate() -> String {
    let declarations = declarations();
    let (head, declarations) = declarations.split_at(declarations.find("*/\n").unwrap() + 3);
    let mut out = String::from(head.trim_start());
    out.push_str(
        "\n#ifndef REPLIQ_H\n#define REPLIQ_H\n\n#include <stddef.h>\n#include <stdint.h>\n",
    );
    out.push_str("#include <string.h>\n\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n");
    let version: Vec<&str> = env!("CARGO_PKG_VERSION").split('.').collect();
    writeln!(out, "/** The version of this header; repliq_version() is the library's. */").unwrap();
    writeln!(out, "#define REPLIQ_HEADER_VERSION \"{}\"", version.join(".")).unwrap();
    writeln!(out, "#define REPLIQ_HEADER_VERSION_MAJOR {}", version[0]).unwrap();
    writeln!(out, "#define REPLIQ_HEADER_VERSION_MINOR {}", version[1]).unwrap();
    writeln!(out, "#define REPLIQ_HEADER_VERSION_PATCH {}", version[2]).unwrap();
    writeln!(out, "/** The ABI of this header, to be compared with repliq_abi_version(). */")
        .unwrap();
    writeln!(out, "#define REPLIQ_ABI_VERSION 0\n").unwrap();
    out.push_str(&codes());
    out.push_str(declarations.trim());
    out.push_str("\n\n");
    out.push_str(&initialisers(declarations));
    out.push_str(TEXT);
    out.push_str("#ifdef __cplusplus\n} /* extern \"C\" */\n#endif\n\n#endif /* REPLIQ_H */\n");
    out
}

const TEXT: &str = "\
/** The bytes of a text that ends with a NUL, without it. */
static inline repliq_bytes repliq_text(const char *text)
{
    repliq_bytes bytes = {0, 0};
    if (text != NULL) {
        bytes.data = text;
        bytes.len = strlen(text);
    }
    return bytes;
}

";

fn declarations() -> String {
    let config = cbindgen::Config::from_file(Path::new(ROOT).join("cbindgen.toml")).unwrap();
    let mut builder = cbindgen::Builder::new().with_config(config);
    // The order in which a reader needs them.
    let files = [
        "types",
        "error",
        "token",
        "transaction",
        "store",
        "queue",
        "session",
        "consumer",
        "listener",
        "snapshot",
        "port",
        "replication",
        "server",
    ];
    let folder = Path::new(ROOT).join("src/capi");
    for file in files.map(|name| folder.join(format!("{name}.rs"))) {
        if file.exists() {
            builder = builder.with_src(file);
        }
    }
    let mut text = Vec::new();
    builder.generate().unwrap().write(&mut text);
    let mut text = String::from_utf8(text).unwrap();
    text = text
        .replace("struct repliq_", "repliq_")
        .replace("typedef repliq_", "typedef struct repliq_");
    // A comment of one line takes one line.
    for indent in ["", "    "] {
        let open = format!("\n{indent}/**\n{indent} * ");
        let mut parts = text.split(&open).map(str::to_owned).collect::<Vec<_>>().into_iter();
        text = parts.next().unwrap_or_default();
        for part in parts {
            let close = format!("\n{indent} */");
            let (first, rest) = part.split_at(part.find('\n').unwrap());
            match rest.strip_prefix(&close) {
                Some(rest) => text.push_str(&format!("\n{indent}/** {first} */{rest}")),
                None => text.push_str(&format!("{open}{part}")),
            }
        }
    }
    assert!(text.contains("repliq_port_close"), "cbindgen made no use of src/capi");
    text
}

/// The code table with its comments, from the one place where it is written.
fn codes() -> String {
    let source = fs::read_to_string(Path::new(ROOT).join("src/error.rs")).unwrap();
    let table = source.split("\ncodes! {\n").nth(1).unwrap().split("\n}\n").next().unwrap();
    let mut out = String::from(
        "/** What a function answers. Numbers are never reused and never renumbered. */\nenum {\n",
    );
    let mut comments = Vec::new();
    let mut rows = 0;
    for line in table.lines().map(str::trim) {
        if let Some(comment) = line.strip_prefix("/// ") {
            comments.push(comment);
            continue;
        }
        let (name, number) = (line.split('"').nth(1), line.split(['=', ',']).nth(1));
        let (Some(name), Some(number)) = (name, number) else { continue };
        rows += 1;
        let comma = if rows == repliq::Code::ALL.len() { "" } else { "," };
        writeln!(out, "    /** {} */", comments.join(" ")).unwrap();
        writeln!(out, "    REPLIQ_{name} = {}{comma}", number.trim()).unwrap();
        comments.clear();
    }
    assert_eq!(rows, repliq::Code::ALL.len());
    out.push_str("};\n\n");
    for (name, flag, what) in [
        ("RETRIABLE", repliq::RETRIABLE, "the same call may succeed later, as it is"),
        (
            "REQUIRES_ROLLBACK",
            repliq::REQUIRES_ROLLBACK,
            "the transaction must be rolled back first",
        ),
        ("FATAL", repliq::FATAL, "the handle is finished; close it"),
    ] {
        writeln!(out, "/** Flag of a code: {what}. */\n#define REPLIQ_FLAG_{name} {flag}").unwrap();
    }
    out.push('\n');
    out
}

/// A struct of the header: its name and its fields, type and name.
pub fn structs(header: &str) -> Vec<(String, Vec<(String, String)>)> {
    let mut found = Vec::new();
    for text in header.split("\ntypedef struct ").skip(1) {
        let (name, text) = text.split_once([' ', ';']).unwrap();
        let Some(body) = text.strip_prefix('{').and_then(|text| text.split("\n}").next()) else {
            continue;
        };
        let fields = body
            .lines()
            .map(str::trim)
            .filter(|line| line.ends_with(';') && !line.starts_with('*'));
        let fields = fields.map(|line| {
            let line = line.trim_end_matches(';');
            let at = line.rfind([' ', '*']).unwrap() + 1;
            (line[..at].trim().to_owned(), line[at..].to_owned())
        });
        found.push((name.to_owned(), fields.collect()));
    }
    found
}

/// A function of the header.
#[derive(Debug)]
pub struct Function {
    pub name: String,
    /// The comment above it.
    pub doc: String,
    /// What it returns.
    pub result: String,
    /// Type and name of each parameter.
    pub parameters: Vec<(String, String)>,
}

/// Everything the header declares that the library must export.
pub fn functions(header: &str) -> Vec<Function> {
    let (mut found, mut doc) = (Vec::new(), String::new());
    let mut lines = header.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("/**") {
            doc = line.to_owned();
        } else if line.starts_with(" *") {
            doc += line;
        }
        let starts = line.starts_with("repliq_code ")
            || line.starts_with("const char *")
            || line.starts_with("uint32_t ");
        if !starts {
            continue;
        }
        let mut text = line.to_owned();
        while !text.ends_with(';') {
            text += lines.next().unwrap().trim();
        }
        let (start, list) = text.split_once('(').unwrap();
        let (result, name) = start.split_at(start.rfind([' ', '*']).unwrap() + 1);
        let list = list.strip_suffix(");").unwrap().replace(",", ", ");
        let parameters = list.split(", ").map(str::trim).filter(|part| *part != "void");
        let parameters = parameters.map(|part| {
            let (kind, name) = part.split_at(part.rfind([' ', '*']).unwrap() + 1);
            (kind.trim().to_owned(), name.to_owned())
        });
        found.push(Function {
            name: name.to_owned(),
            doc: doc.replace(" * ", " "),
            result: result.trim().to_owned(),
            parameters: parameters.collect(),
        });
    }
    found
}

fn initialisers(declarations: &str) -> String {
    let mut out = String::new();
    for (name, fields) in structs(declarations) {
        let sized = fields[0] == ("size_t".to_owned(), "size".to_owned());
        if !sized && name != "repliq_message" {
            continue;
        }
        let values = fields.iter().enumerate().map(|(index, (kind, field))| match kind.as_str() {
            _ if sized && index == 0 => format!("sizeof({name})"),
            "repliq_bytes" => "{0, 0}".to_owned(),
            _ if field.contains('[') => "{0}".to_owned(),
            _ => "0".to_owned(),
        });
        let values = values.collect::<Vec<_>>().join(", ");
        let upper = name.to_uppercase();
        writeln!(out, "/** Sets up a {name}: `{name} value = {upper};`. */").unwrap();
        writeln!(out, "#define {upper} {{{values}}}\n").unwrap();
    }
    out
}

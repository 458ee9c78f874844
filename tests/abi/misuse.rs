//! Every function of the header x every wrong argument (T13), from C, plain, under AddressSanitizer and under
//! valgrind; and a panic inside each function, in the build with planted ones.
//!
//! The programs are generated from the header's functions and structs, so a new function cannot be forgotten: a
//! parameter whose type is not known here fails the test.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::header::{Function, ROOT, committed, functions, structs};
use super::tools::{build, compiler, folder, library, library_folder, run};

/// A valid argument, and wrong ones: what it is, an expression or a statement before, the codes it may get.
struct Argument {
    valid: String,
    attacks: Vec<Attack>,
}

struct Attack {
    what: String,
    /// Statements before the call and after it.
    before: String,
    after: String,
    value: String,
    allowed: &'static str,
}

const INVALID: &str = "INVALID ";
const BAD_HANDLE: &str = "BAD_HANDLE ";
const TOO_LARGE: &str = "INVALID TOO_LARGE ";

fn attack(what: impl Into<String>, value: impl Into<String>, allowed: &'static str) -> Attack {
    let nothing = String::new();
    Attack {
        what: what.into(),
        before: nothing.clone(),
        after: nothing,
        value: value.into(),
        allowed,
    }
}

/// What is wrong lies in something the valid argument points to: set before the call, reset after it.
fn inside(place: &str, wrong: &str, valid: &str, allowed: &'static str) -> Attack {
    let name = place.trim_start_matches("F.");
    let before =
        if wrong.contains("memcpy") { wrong.to_owned() } else { format!("{place} = {wrong};") };
    Attack {
        before: format!("{{ __typeof__({place}) kept = {place}; (void)kept; {before}"),
        after: format!("{place} = kept; }}"),
        ..attack(format!("{name} = {wrong}"), valid, allowed)
    }
}

fn misaligned(valid: &str) -> Attack {
    attack("misaligned", format!("(void *)((char *)({valid}) + 1)"), INVALID)
}

const HANDLES: [&str; 8] =
    ["store", "session", "consumer", "listener", "snapshot", "port", "server", "replication"];

fn handle(noun: &str, closing: bool) -> Argument {
    let valid = format!("F.{noun}");
    let other = if noun == "port" { "F.store" } else { "F.port" };
    let null = if closing { "OK " } else { INVALID };
    let attacks = vec![
        attack(format!("{noun} NULL"), "NULL", null),
        attack(format!("{noun} stale"), format!("F.stale_{noun}"), BAD_HANDLE),
        attack(format!("{noun} of another kind"), format!("(void *){other}"), BAD_HANDLE),
        attack(format!("{noun} an address"), "(void *)&F", BAD_HANDLE),
        attack(format!("{noun} an odd address"), "(void *)((char *)&F + 1)", BAD_HANDLE),
        attack(
            format!("{noun} of a later object"),
            format!("next_generation({valid})"),
            BAD_HANDLE,
        ),
        attack(format!("{noun} of a wild slot"), format!("wild_slot({valid})"), BAD_HANDLE),
        attack(format!("{noun} all ones"), "(void *)~(uintptr_t)0", BAD_HANDLE),
        attack(format!("{noun} one"), "(void *)1", BAD_HANDLE),
    ];
    Argument { valid, attacks }
}

fn options(kind: &str, fields: &[(String, String)]) -> Argument {
    let place = format!("F.{}", kind.trim_start_matches("repliq_"));
    let valid = format!("&{place}");
    let mut attacks = vec![attack("options NULL", "NULL", INVALID), misaligned(&valid)];
    for size in ["0", "1", "sizeof(size_t)", "~(size_t)0"] {
        attacks.push(inside(&format!("{place}.size"), size, &valid, INVALID));
    }
    for step in ["- 1", "+ 8"] {
        let size = format!("sizeof({kind}) {step}");
        attacks.push(inside(&format!("{place}.size"), &size, &valid, INVALID));
    }
    for (field, wrong) in fields.iter().filter_map(|(kind, name)| match kind.as_str() {
        "int32_t" => Some((name, "99")),
        "uint32_t" if name == "flags" || name == "reserved" => Some((name, "1")),
        "const char *" => Some((name, "\"\\xff\"")),
        _ => None,
    }) {
        attacks.push(inside(&format!("{place}.{field}"), wrong, &valid, INVALID));
    }
    for (_, field) in fields.iter().filter(|(_, name)| name.ends_with("_count")) {
        let place = format!("{place}.{field}");
        attacks.push(inside(&place, "~(size_t)0", &valid, TOO_LARGE));
        attacks.push(inside(&place, "(size_t)1 << 40", &valid, TOO_LARGE));
    }
    if kind == "repliq_server_options" {
        attacks.extend(server_options(&valid));
    }
    Argument { valid, attacks }
}

fn server_options(valid: &str) -> Vec<Attack> {
    let wrong = [
        ("server_options.listen", "NULL"),
        ("server_options.users", "NULL"),
        ("server_options.users", "(void *)((char *)F.users + 1)"),
        ("server_options.users_file", "\"beside an array\""),
        ("server_options.heartbeat_ms", "~(uint64_t)0"),
        ("server_options.certificate_file", "\"without a key\""),
        ("listen[0]", "NULL"),
        ("listen[0]", "\"\\xff\""),
        ("listen[0]", "\"\""),
        ("users[0].name", "NULL"),
        ("users[0].name", "\"\""),
        ("users[0].name", "\"\\xff\""),
        ("users[0].password.data", "NULL"),
        ("users[0].password.len", "0"),
        ("users[0].verbs", "NULL"),
        ("users[0].verbs", "\"fly\""),
        ("users[0].queues", "NULL"),
        ("users[0].queues", "\"\\xff\""),
    ];
    let mut attacks: Vec<_> =
        wrong.map(|(place, wrong)| inside(&format!("F.{place}"), wrong, valid, INVALID)).into();
    attacks.push(inside("F.listen[0]", "F.endless", valid, TOO_LARGE));
    attacks.push(inside("F.users[0].password.len", "~(size_t)0", valid, TOO_LARGE));
    attacks
}

fn messages() -> Argument {
    let valid = "F.messages";
    let mut attacks = vec![attack("messages NULL", "NULL", INVALID), misaligned(valid)];
    let huge = "~(size_t)0";
    for (place, wrong, allowed) in [
        ("payload.len", huge, TOO_LARGE),
        ("payload.len", "~(size_t)0 / 2", TOO_LARGE),
        ("payload.data", "NULL", INVALID),
        ("key.len", huge, TOO_LARGE),
        ("key.len", "1", INVALID),
        ("headers", "NULL", INVALID),
        ("headers", "(void *)((char *)F.headers + 1)", INVALID),
        ("header_count", huge, TOO_LARGE),
        ("header_count", "2", INVALID),
        ("producer", "repliq_text(\"\\xff\")", INVALID),
        ("producer.len", huge, TOO_LARGE),
        ("producer.len", "1", INVALID),
        ("producer_sequence", "1", INVALID),
        ("priority", "255", INVALID),
        ("reserved[4]", "1", INVALID),
    ] {
        attacks.push(inside(&format!("F.messages[0].{place}"), wrong, valid, allowed));
    }
    for (place, wrong, allowed) in [
        ("name.len", huge, TOO_LARGE),
        ("name", "repliq_text(\"\\xc3\\x28\")", INVALID),
        ("name", "repliq_text(\"\")", INVALID),
        ("value.len", huge, TOO_LARGE),
        ("value.data", "NULL", INVALID),
    ] {
        attacks.push(inside(&format!("F.headers[0].{place}"), wrong, valid, allowed));
    }
    Argument { valid: valid.into(), attacks }
}

fn text(valid: &str) -> Argument {
    let attacks = vec![
        attack("text NULL", "NULL", INVALID),
        attack("text not UTF-8", "\"\\xff\\xfe\"", INVALID),
        attack("text cut inside a character", "\"a\\xe2\\x98\"", INVALID),
        attack("text without an end", "F.endless", TOO_LARGE),
    ];
    Argument { valid: valid.into(), attacks }
}

fn output(valid: &str, aligned: bool) -> Argument {
    let mut attacks = vec![attack("output NULL", "NULL", INVALID)];
    attacks.extend(aligned.then(|| misaligned(valid)));
    Argument { valid: valid.into(), attacks }
}

fn count(valid: &str, zero: bool) -> Argument {
    let huge = ["~(size_t)0", "~(size_t)0 / 2", "~(size_t)0 / 2 + 1", "(size_t)1 << 40"];
    let mut attacks: Vec<_> = huge.map(|n| attack(format!("count {n}"), n, TOO_LARGE)).into();
    attacks.extend(zero.then(|| attack("count 0", "0", INVALID)));
    Argument { valid: valid.into(), attacks }
}

fn plain(valid: &str) -> Argument {
    Argument { valid: valid.into(), attacks: Vec::new() }
}

fn tokens() -> Argument {
    let valid = "F.tokens";
    let garbage = Attack {
        before: "{ repliq_token kept = F.tokens[0]; memset(&F.tokens[0], 0x5a, sizeof kept);"
            .into(),
        after: "F.tokens[0] = kept; }".into(),
        ..attack("no token", valid, INVALID)
    };
    Argument { valid: valid.into(), attacks: vec![attack("tokens NULL", "NULL", INVALID), garbage] }
}

fn transaction_id() -> Argument {
    let valid = "&F.id";
    let garbage = Attack {
        before: "{ repliq_transaction_id kept = F.id; memset(&F.id, 0, sizeof kept);".into(),
        after: "F.id = kept; }".into(),
        ..attack("no identity", valid, INVALID)
    };
    Argument { valid: valid.into(), attacks: vec![attack("id NULL", "NULL", INVALID), garbage] }
}

/// The text a function needs to succeed.
fn valid_text(function: &str, name: &str) -> &'static str {
    match (function, name) {
        ("repliq_store_open", "path") => "F.path",
        ("repliq_store_restore", "path") => "F.backup",
        (_, "dest" | "backup") => "F.backup",
        ("repliq_consumer_open", "name") => "\"fresh\"",
        ("repliq_consumer_delete", "name") => "\"gone\"",
        (_, "at") => "\"\"",
        (_, "reason") => "NULL",
        ("repliq_replication_add", "name") => "\"another\"",
        (_, "url") => "\"repliq://till@127.0.0.1:9/there\"",
        (_, "name") => "\"name\"",
        _ => panic!("tests/abi/misuse.rs does not know a text for {name} of {function}"),
    }
}

fn argument(function: &Function, kind: &str, name: &str) -> Argument {
    let fields = structs(&committed());
    if let Some(noun) = kind.strip_prefix("repliq_").and_then(|kind| kind.strip_suffix(" *"))
        && HANDLES.contains(&noun)
    {
        return handle(noun, function.name == format!("repliq_{noun}_close"));
    }
    if let Some(noun) = kind.strip_prefix("repliq_").and_then(|kind| kind.strip_suffix(" **")) {
        return output(&format!("&O.{noun}"), true);
    }
    if let Some(kind) = kind.strip_prefix("const ").and_then(|kind| kind.strip_suffix(" *"))
        && let Some((_, fields)) = fields.iter().find(|(known, _)| known == kind)
        && kind.ends_with("_options")
    {
        return options(kind, fields);
    }
    match (kind, name) {
        ("repliq_queue", _) => plain("F.queue"),
        ("uint16_t", "kind") => plain("7"),
        ("const void *", "payload") => output("F.token_text", false),
        ("const repliq_message *", _) => messages(),
        ("const repliq_token *", _) => tokens(),
        ("const uint64_t *", "sequences") => {
            let mut sequences = output("F.sequences", true);
            sequences.attacks[0].what = "sequences NULL".into();
            sequences
        }
        ("const char *", _) => text(valid_text(&function.name, name)),
        ("const void *", "data") if function.name == "repliq_transaction_id_parse" => {
            output("F.id_text", false)
        }
        ("const void *", "data") => output("F.token_text", false),
        ("const void *", "xid") => plain("NULL"),
        ("size_t", "len") if function.name == "repliq_session_prepare" => {
            let attacks =
                vec![attack("xid NULL", "3", INVALID), attack("len 256", "256", TOO_LARGE)];
            Argument { valid: "0".into(), attacks }
        }
        ("size_t", "len") => {
            let text =
                ["repliq_token_parse", "repliq_store_password", "repliq_transaction_id_parse"];
            let valid = if function.name == text[2] { "strlen(F.id_text)" } else { "54" };
            count(valid, text.contains(&&*function.name))
        }
        ("size_t", "n") => count(
            "1",
            function.name == "repliq_token_join" || function.name == "repliq_consumer_ack",
        ),
        ("size_t", "max") => count("4", true),
        ("size_t", "size") => count("sizeof O.text", false),
        ("size_t *", _) => output("&O.n", true),
        ("int32_t *", "fd") => output("&O.fd", true),
        ("char *", "text") => output("O.text", false),
        ("repliq_queue *", _) => output("&O.queue", true),
        ("repliq_result *", _) => output("&O.result", true),
        ("repliq_backup *", _) => output("&O.backup", true),
        ("repliq_redriven *", _) => output("&O.redriven", true),
        ("repliq_message *", _) => output("O.messages", true),
        ("repliq_event *", _) => output("O.events", true),
        ("repliq_token *", _) => output("O.tokens", false),
        ("const repliq_transaction_id *", _) => transaction_id(),
        ("repliq_transaction_id *", _) => output("O.id", false),
        ("repliq_outcome *", _) => output("&O.outcome", true),
        ("repliq_error *", _) => {
            let mut error = output("&E", true);
            error.attacks.push(inside("E.size", "0", "&E", INVALID));
            error.attacks.push(inside("E.size", "sizeof E + 8", "&E", INVALID));
            error
        }
        ("repliq_target_status *", _) => {
            let mut status = output("&F.target_status", true);
            status.attacks.push(inside("F.target_status.size", "0", "&F.target_status", INVALID));
            status
        }
        ("repliq_handler", _) => Argument {
            valid: "handler".into(),
            attacks: vec![attack("handler NULL", "NULL", INVALID)],
        },
        ("repliq_log_function", _) => Argument {
            valid: "logger".into(),
            attacks: vec![attack("function NULL", "NULL", INVALID)],
        },
        ("void *", "user") => plain("NULL"),
        ("uint64_t", "timeout_ms" | "delay_ms") => plain("0"),
        ("uint64_t", "tag" | "from" | "sequence" | "max") => plain("1"),
        ("int32_t", "drop") => {
            Argument { valid: "REPLIQ_NO".into(), attacks: vec![attack("drop 99", "99", INVALID)] }
        }
        ("int32_t", "commit") => {
            let attacks =
                vec![attack("commit 0", "0", INVALID), attack("commit 99", "99", INVALID)];
            Argument { valid: "REPLIQ_YES".into(), attacks }
        }
        ("int32_t", "level") => {
            let attacks = vec![attack("level 0", "0", INVALID), attack("level 99", "99", INVALID)];
            Argument { valid: "REPLIQ_LOG_ERROR".into(), attacks }
        }
        ("repliq_code", _) => plain("1"),
        _ => panic!("tests/abi/misuse.rs does not know `{kind} {name}` of {}", function.name),
    }
}

/// What the valid call answers.
fn valid_codes(function: &Function) -> &'static str {
    match function.name.as_str() {
        "repliq_port_cancel" => "NO_SUCH_NAME ",
        "repliq_replication_start_job" => "EXISTS ",
        // The target refuses nothing, so there is nothing to set aside.
        "repliq_replication_skip" => "INVALID ",
        // The store is not encrypted; faces.cpp changes the password of one that is.
        "repliq_store_password" => "INVALID ",
        // There is no backup; the scripts of the conformance tests restore one.
        "repliq_store_restore" => "NOT_A_STORE ",
        _ => "OK ",
    }
}

fn may_be_null(function: &Function, name: &str) -> bool {
    function.doc.contains(&format!("`{name}` may be NULL"))
}

fn call(function: &Function, values: &[String]) -> String {
    format!("{}({})", function.name, values.join(", "))
}

/// The functions that can fail, with their arguments.
fn fallible() -> Vec<(Function, Vec<Argument>)> {
    let all =
        functions(&committed()).into_iter().filter(|function| function.result == "repliq_code");
    all.map(|function| {
        let arguments = function.parameters.iter().map(|(kind, name)| {
            let mut argument = argument(&function, kind, name);
            if may_be_null(&function, name) {
                argument.attacks.retain(|attack| attack.value != "NULL");
                // Nothing to fail with, so the call must work.
                argument.attacks.push(attack(
                    format!("{name} NULL, which it may be"),
                    "NULL",
                    match valid_codes(&function) {
                        "NOT_A_STORE " => "NOT_A_STORE ",
                        _ => "OK UNSUPPORTED ",
                    },
                ));
            }
            argument
        });
        let arguments = arguments.collect();
        (function, arguments)
    })
    .collect()
}

fn misuse_program() -> String {
    let mut out =
        String::from("#include \"misuse.h\"\n\nstatic repliq_error E = REPLIQ_ERROR;\n\n");
    let (mut main, mut number) = (String::new(), 0);
    for (function, arguments) in fallible() {
        let name = &function.name;
        let asks = |prefix: &str| i32::from(name.starts_with(prefix));
        let with = format!("{}, {}", asks("repliq_server_"), asks("repliq_replication_"));
        number += 1;
        writeln!(
            out,
            "static void test_{name}(const char *folder)\n{{\n    fixture_open(folder, {with});"
        )
        .unwrap();
        let valid: Vec<String> = arguments.iter().map(|argument| argument.valid.clone()).collect();
        let mut last = String::new();
        for (index, argument) in arguments.iter().enumerate() {
            for Attack { what, before, after, value, allowed } in &argument.attacks {
                let mut values = valid.clone();
                values[index] = value.clone();
                let text = what.replace('\\', "\\\\").replace('"', "\\\"");
                let call = call(&function, &values);
                let line = format!(
                    "    before(); {before} after(\"{name}\", \"{text}\", {call}, \"{allowed}\"); {after}\n"
                );
                // A call that works changes something; it comes last.
                let refused = [INVALID, BAD_HANDLE, TOO_LARGE].contains(allowed);
                if refused || (allowed.starts_with("OK") && name.ends_with("_close")) {
                    out += &line;
                } else {
                    let close = "close_outputs();";
                    last += &format!(
                        "    fixture_close(); fixture_open(\"F{number}_{index}\", {with});\n{line}    {close}\n"
                    );
                }
            }
        }
        let call = call(&function, &valid);
        let codes = valid_codes(&function);
        writeln!(out, "    before(); after(\"{name}\", \"nothing wrong\", {call}, \"{codes}\");")
            .unwrap();
        if name.ends_with("_close") {
            writeln!(
                out,
                "    before(); after(\"{name}\", \"closed twice\", {call}, \"BAD_HANDLE \");"
            )
            .unwrap();
        } else if codes == "OK " {
            writeln!(out, "    close_outputs();").unwrap();
        }
        writeln!(out, "{last}    fixture_close();\n}}\n").unwrap();
        writeln!(main, "    test_{name}(\"{number}\");").unwrap();
    }
    let count = number;
    writeln!(out, "int main(int argc, char **argv)\n{{\n    if (argc != 2 || chdir(argv[1]) != 0)\n        return 2;").unwrap();
    writeln!(out, "{main}    return report(\"misuse\", {count});\n}}").unwrap();
    out
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let file = folder.join(name);
    fs::write(&file, text).unwrap();
    file
}

fn compile(folder: &Path, libraries: &Path, source: &str, flags: &[&str]) -> PathBuf {
    let file = write(folder, "program.c", source);
    let program = folder.join("program");
    let mut cc = compiler("cc", "gnu11");
    cc.arg("-I").arg(Path::new(ROOT).join("tests/abi")).arg("-Wno-unused-function").args(flags);
    build(&mut cc, &file, libraries, &program);
    program
}

fn stores(folder: &Path) -> PathBuf {
    let stores = folder.join("stores");
    fs::create_dir(&stores).unwrap();
    stores
}

/// Runs a program and returns how many calls it made.
fn calls(command: &mut Command) -> u64 {
    let output = run(command);
    let text = String::from_utf8(output.stdout).unwrap();
    println!("{text}");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(errors.is_empty(), "something was written to the standard error stream: {errors}");
    let calls = text.lines().last().unwrap().split(", ").nth(1).unwrap();
    calls.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn every_function_survives_every_wrong_argument_under_address_sanitizer() {
    let folder = folder("misuse-asan");
    let libraries = library_folder("misuse-asan-lib", &library());
    let flags = ["-fsanitize=address", "-fno-omit-frame-pointer"];
    let program = compile(&folder, &libraries, &misuse_program(), &flags);
    assert!(calls(Command::new(program).arg(stores(&folder))) > 600);
}

#[test]
fn closing_under_other_threads_callbacks_and_forks_are_told_and_touch_nothing_freed() {
    let folder = folder("race");
    let libraries = library_folder("race-lib", &library());
    let program = folder.join("race");
    let mut cc = compiler("cc", "gnu11");
    cc.args(["-fsanitize=address", "-Wno-pedantic"]);
    build(&mut cc, &Path::new(ROOT).join("tests/abi/race.c"), &libraries, &program);
    let output = run(Command::new(program).arg(stores(&folder)));
    println!("{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn every_function_survives_every_wrong_argument_under_valgrind() {
    let folder = folder("misuse-valgrind");
    let libraries = library_folder("misuse-valgrind-lib", &library());
    let program = compile(&folder, &libraries, &misuse_program(), &[]);
    let mut valgrind = Command::new("valgrind");
    valgrind.args([
        "-q",
        "--error-exitcode=9",
        "--leak-check=full",
        "--show-leak-kinds=definite",
        "--errors-for-leak-kinds=definite",
    ]);
    assert!(calls(valgrind.arg(program).arg(stores(&folder))) > 600);
}

/// A panic at the edge of each function, and one behind the first handle it enters.
fn panic_program() -> String {
    let mut out =
        String::from("#include \"misuse.h\"\n\nvoid repliq_sabotage_panic(uint32_t place);\n\n");
    out += "static repliq_error E = REPLIQ_ERROR;\n\n";
    let (mut main, mut number) = (String::new(), 0);
    for (function, arguments) in fallible() {
        let name = &function.name;
        let asks = |prefix: &str| i32::from(name.starts_with(prefix));
        let with = format!("{}, {}", asks("repliq_server_"), asks("repliq_replication_"));
        number += 1;
        let valid: Vec<String> = arguments.iter().map(|argument| argument.valid.clone()).collect();
        let (call, codes) = (call(&function, &valid), valid_codes(&function));
        let line = |what: &str, before: &str, call: &str, codes: &str| {
            format!("    before(); {before} after(\"{name}\", \"{what}\", {call}, \"{codes}\");\n")
        };
        out += &format!(
            "static void test_{name}(void)\n{{\n    fixture_open(\"{number}\", {with});\n"
        );
        out += &line("panic at the edge", "repliq_sabotage_panic(1);", &call, "PANIC ");
        out += &line("after a panic at the edge", "", &call, codes);
        let closing = name.ends_with("_close");
        if codes == "OK " && !closing {
            out += "    close_outputs();\n";
        }
        out += "    fixture_close();\n";
        let first = valid.first().and_then(|valid| valid.strip_prefix("F."));
        if let Some(noun) = first.filter(|noun| HANDLES.contains(noun) && !closing) {
            out += &format!("    fixture_open(\"P{number}\", {with});\n");
            out += &line("panic inside", "repliq_sabotage_panic(2);", &call, "PANIC ");
            out += &line("poisoned", "", &call, "PANIC ");
            let close = format!("repliq_{noun}_close(F.{noun})");
            out += &line("close of a poisoned handle", "", &close, "OK ");
            out += "    fixture_close();\n";
        }
        out += "}\n\n";
        writeln!(main, "    test_{name}();").unwrap();
    }
    out += "int main(int argc, char **argv)\n{\n    if (argc != 2 || chdir(argv[1]) != 0)\n        return 2;\n";
    out + &main + &format!("    return report(\"panics\", {number});\n}}\n")
}

/// The library with planted faults, in a target directory of its own, where it replaces nothing.
fn sabotaged_library() -> PathBuf {
    let target = Path::new(ROOT).join("target/sabotage");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(ROOT).args(["build", "--locked", "--lib", "--no-default-features"]);
    cargo.args(["--features", "capi,sabotage", "--target-dir"]).arg(&target);
    cargo.envs([("CARGO_PROFILE_DEV_OPT_LEVEL", "1"), ("CARGO_PROFILE_DEV_DEBUG", "0")]);
    run(&mut cargo);
    target.join("debug/librepliq.so")
}

#[test]
fn a_panic_inside_any_function_is_a_code_and_the_program_goes_on() {
    let folder = folder("panics");
    let libraries = library_folder("panics-lib", &sabotaged_library());
    let program = compile(&folder, &libraries, &panic_program(), &[]);
    assert!(calls(Command::new(program).arg(stores(&folder))) > 130);
}

#[test]
fn what_cannot_fail_takes_any_argument() {
    let all = functions(&committed());
    let others: Vec<_> = all.iter().filter(|function| function.result != "repliq_code").collect();
    let names: Vec<_> = others.iter().map(|function| &function.name[..]).collect();
    // A new function of this kind needs a thought about what it does with a wrong argument, and a line in faces.cpp.
    assert_eq!(
        names,
        ["repliq_code_name", "repliq_code_flags", "repliq_version", "repliq_abi_version"]
    );
    assert!(
        others
            .iter()
            .all(|function| !function.parameters.iter().any(|(kind, _)| kind.contains('*')))
    );
}

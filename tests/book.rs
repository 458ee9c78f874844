//! The documentation as a test: code is cut from tested files, commands run, links lead somewhere, every page is in
//! the book, and every code has its entry in the troubleshooting. `BLESS=1` cuts the code anew.

#![allow(clippy::unwrap_used)]

#[path = "book/codes.rs"]
mod codes;
#[path = "book/commands.rs"]
mod commands;
#[path = "book/cut.rs"]
mod cut;
#[path = "book/page.rs"]
mod page;
#[path = "book/protocol.rs"]
mod protocol;
#[path = "book/readme.rs"]
mod readme;
#[path = "book/snippets.rs"]
mod snippets;

use std::fs;
use std::path::Path;

use page::{ROOT, anchor, blocks, headings, links, pages_in, read};

/// What is read by people and looked after here. The README of Java is tested where Java is.
fn pages() -> Vec<String> {
    let others =
        ["CONTRIBUTING.md", "README.md", "bindings/python/README.md", "examples/README.md"];
    others.map(String::from).into_iter().chain(pages_in("docs")).collect()
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{} found:\n  {}", wrong.len(), wrong.join("\n  "));
}

#[test]
fn the_code_of_each_page_is_cut_from_a_tested_file() {
    let source = |name: &str| fs::read_to_string(Path::new(ROOT).join(name)).ok();
    let mut wrong = Vec::new();
    for name in pages() {
        let text = read(&name);
        let (mut found, blessed) = cut::compare(&name, &text, &source);
        if std::env::var_os("BLESS").is_some() && blessed != text {
            fs::write(Path::new(ROOT).join(&name), &blessed).unwrap();
            found = cut::compare(&name, &blessed, &source).0;
        }
        wrong.extend(found);
    }
    assert_none(&wrong);
}

#[test]
fn code_that_is_cut_from_nowhere_or_differs_is_found() {
    let file = "fn a() {\n    // ANCHOR: b\n    b(\n        1,\n    );\n    // ANCHOR_END: b\n}\n";
    let source = |name: &str| (name == "tests/a.rs").then(|| file.to_string());
    let page =
        |mark: &str, body: &str| format!("One\n\n<!-- {mark} -->\n```rust\n{body}```\n\nTwo\n");
    let good = page("cut from tests/a.rs#b", "b(\n    1,\n);\n");
    assert_eq!(cut::compare("p", &good, &source), (Vec::new(), good.clone()));

    let old = page("cut from tests/a.rs#b", "b();\n");
    let (wrong, blessed) = cut::compare("p", &old, &source);
    assert_eq!((wrong.len(), blessed), (1, good.clone()));
    for (page, why) in [
        (page("a comment", "b();\n"), "p:4: code that is cut from no tested file"),
        (
            good.replace("<!-- cut from tests/a.rs#b -->\n", ""),
            "p:3: code that is cut from no tested file",
        ),
        (good.replace("#b", "#c"), "p:4: tests/a.rs has no ANCHOR: c"),
        (good.replace("#b", ""), "p:4: tests/a.rs names no part of a file"),
        (good.replace("tests/a", "tests/b"), "p:4: there is no tests/b.rs"),
        (good.replace("tests/a", "src/a"), "p:4: src/a.rs is in no folder of tests"),
        (good.replace("```rust", "```c"), "p:4: tests/a.rs is not in c"),
        (good.replace("```rust", "```rs"), "p:4: rs has another name here"),
        (good.replace("```rust", "```sh"), "p:4: \"sh\" is cut from no file"),
    ] {
        assert_eq!(cut::compare("p", &page, &source), (vec![why.to_string()], page.clone()));
    }
}

#[test]
fn links_lead_somewhere() {
    assert_none(&pages().iter().flat_map(|name| page::lost(name, &read(name))).collect::<Vec<_>>());
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let text = "# A b\n\n[1](CLI.md) [2](../README.md#the-idea) [3](#a-b) `[4](no)`\n\n    [5](no)\n\n```\n[6](no)\n```\n";
    assert_none(&page::lost("docs/x.md", text));
    let text = "[1](no.md)\n[2](CLI.md#no)\n[3](#no) [`x`](../no.rs)\n";
    assert_eq!(
        page::lost("docs/CLI.md", text),
        [
            "docs/CLI.md:1: there is no docs/no.md",
            "docs/CLI.md:2: docs/CLI.md has no heading no",
            "docs/CLI.md:3: docs/CLI.md has no heading no",
            "docs/CLI.md:3: there is no docs/../no.rs",
        ]
    );
    assert_eq!(anchor("Codes, `OUT_OF_ORDER` and /metrics"), "codes-out_of_order-and-metrics");
}

/// The files of the navigation in `mkdocs.yml`, in order.
fn chapters() -> Vec<String> {
    let text = read("mkdocs.yml");
    let lines = text.lines().skip_while(|line| *line != "nav:").skip(1);
    let rows = lines.take_while(|line| line.starts_with(' '));
    rows.filter_map(|row| row.rsplit_once(": ")).map(|(_, file)| file.to_string()).collect()
}

#[test]
fn every_page_is_in_the_book_and_in_its_table_of_contents() {
    let chapters = chapters();
    let mut pages: Vec<String> =
        pages_in("docs").iter().map(|page| page.trim_start_matches("docs/").to_string()).collect();
    // The tutorials lie beside their programs; the book has them under a name of its own.
    pages.push("TUTORIALS.md".into());
    pages.sort();
    let mut sorted = chapters.clone();
    sorted.sort();
    assert_eq!(sorted, pages, "mkdocs.yml");

    let text = read("docs/README.md");
    let (_, contents) = text.split_once("## Contents\n").expect("a table of contents");
    let listed = links(contents).into_iter().map(|(_, link)| link);
    let listed = listed.map(|link| link.replace("../examples/README.md", "TUTORIALS.md"));
    assert_eq!(listed.collect::<Vec<_>>(), chapters[1..], "docs/README.md");
}

#[test]
fn no_page_has_a_heading_twice() {
    for name in pages() {
        let mut anchors: Vec<String> =
            headings(&read(&name)).iter().map(|one| anchor(one)).collect();
        anchors.sort();
        let twice = anchors.windows(2).find(|pair| pair[0] == pair[1]);
        assert_eq!(twice, None, "{name}");
    }
}

#[test]
fn a_fence_is_never_indented() {
    // A code host would show the block, the book would not.
    for name in pages() {
        let text = read(&name);
        let lines: Vec<&str> = text.lines().collect();
        for block in blocks(&text) {
            assert!(lines[block.opens].starts_with("```"), "{name}:{}", block.opens + 1);
        }
    }
}

#[test]
fn the_book_and_python_agree_on_what_both_install_into_one_environment() {
    let pins = |name: &str| -> Vec<String> {
        let text = read(name);
        text.lines().filter(|line| line.contains("==")).map(str::to_lowercase).collect()
    };
    let (book, python) =
        (pins("scripts/docs-requirements.txt"), pins("bindings/python/requirements.txt"));
    assert!(book.len() > 10 && python.len() > 5);
    let package = |pin: &String| pin.split("==").next().unwrap().replace('_', "-");
    for pin in &book {
        let other = python.iter().find(|other| package(other) == package(pin));
        assert!(other.is_none_or(|other| other == pin), "{pin} against {other:?}");
    }
}

//! TLS through the command line: a certificate at the server, its authority at the sender.

use repliq::Code;

use super::authority::{Authority, Leaf};
use super::run::{Place, Ran};
use super::server::{Served, place_with_users};

/// A server whose certificate is this one, before a new store.
fn serve(place: &Place, authority: &Authority, leaf: Leaf) -> Served {
    let (certificate, key) = authority.leaf(&place.path(""), leaf);
    let [certificate, key] = [certificate, key].map(|path| path.display().to_string());
    Served::start_with(
        place,
        "far",
        None,
        &["--certificate-file", &certificate, "--key-file", &key],
    )
}

fn replicate(place: &Place, url: &str, more: &str) -> Ran {
    let pw = place.path("pw").display().to_string();
    place.run(&format!(
        "replicate @root q --target far={url} --target-password far={pw} --until-caught-up {more}"
    ))
}

fn sender() -> Place {
    let place = place_with_users();
    place.run_with("put @root q", b"1\n2\n").text();
    place
}

#[test]
fn a_root_queue_goes_to_a_server_whose_authority_is_known() {
    let (place, authority) = (sender(), Authority::new());
    let served = serve(&place, &authority, Leaf::Good);
    let url = served.url("ann");
    authority.file(&place.path(""));
    let ca = format!("--ca-file {}", place.path("authority.pem").display());
    replicate(&place, &url, &ca).text();
    let ask = format!("{url} {ca} --password-file @pw");
    assert_eq!(place.run(&format!("get {ask} q --browse")).text(), "1\n2\n");
    // TLS it was: without it the server says no.
    let plain = place.run(&format!("status {url} --plain --password-file @pw"));
    plain.fails(Code::Protocol, &["TLS"]);
}

#[test]
fn a_wrong_authority_name_or_time_ends_it_as_certificate_and_nothing_goes_out() {
    let (right, wrong) = (Authority::new(), Authority::new());
    let rows = [
        (Leaf::Good, &wrong),
        (Leaf::OtherName, &right),
        (Leaf::Expired, &right),
        (Leaf::SelfSigned, &right),
    ];
    for (leaf, signer) in rows {
        let place = sender();
        let served = serve(&place, signer, leaf);
        right.file(&place.path(""));
        let ca = format!("--ca-file {}", place.path("authority.pem").display());
        let ran = replicate(&place, &served.url("ann"), &ca);
        ran.fails(Code::Certificate, &["target far", "certificate does not hold"]);
        let ask = format!("status {} {ca} --password-file @pw", served.url("ann"));
        place.run(&ask).fails(Code::Certificate, &["certificate does not hold"]);
        // Nor is it one of the system's.
        let ran = replicate(&place, &served.url("ann"), "");
        ran.fails(Code::Certificate, &["target far"]);
        drop(served);
        assert_eq!(place.run("queue ls @far --json").text(), "", "nothing went out");
    }
}

#[test]
fn a_server_under_another_name_is_trusted_where_that_name_is_given() {
    let (place, authority) = (sender(), Authority::new());
    let served = serve(&place, &authority, Leaf::OtherName);
    authority.file(&place.path(""));
    let trust = format!(
        "--ca-file {} --server-name elsewhere.example",
        place.path("authority.pem").display()
    );
    replicate(&place, &served.url("ann"), &trust).text();
    assert_eq!(place.run("get @far q --browse").text(), "1\n2\n");
}

#[test]
fn a_file_that_is_no_authority_is_named() {
    let (place, authority) = (sender(), Authority::new());
    let served = serve(&place, &authority, Leaf::Good);
    let junk = place.file("junk.pem", "no certificate\n").display().to_string();
    let ran = replicate(&place, &served.url("ann"), &format!("--ca-file {junk}"));
    ran.fails(Code::Certificate, &["junk.pem"]);
}

#[test]
fn a_file_that_is_no_authority_is_told_before_anybody_is_reached_and_begins_nothing() {
    let place = sender();
    let junk = place.file("junk.pem", "no certificate\n").display().to_string();
    let none = place.path("none.pem").display().to_string();
    for (file, code) in [(&junk, Code::Certificate), (&none, Code::Io)] {
        let add = format!(
            "target add @root q far repliq://ann@127.0.0.1:1 --target-password @pw --ca-file {file}"
        );
        place.run(&add).fails(code, &[file]);
        let ran = replicate(&place, "repliq://ann@127.0.0.1:1", &format!("--ca-file {file}"));
        ran.fails(code, &[file]);
        let ask = format!("status repliq://ann@127.0.0.1:1 --ca-file {file} --password-file @pw");
        place.run(&ask).fails(code, &[file]);
    }
    assert_eq!(place.run("target ls @root --json").text(), "", "no target was begun");
}

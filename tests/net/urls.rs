//! T10: URLs that somebody spoiled. Each is read as what it prints, or refused in a sentence; a password that somebody
//! wrote into one is not repeated.

use crate::mangle::Random;
use crate::seeds;
use repliq::{Code, Endpoint};

/// URLs of one seed.
const URLS: u64 = 20_000;

const GOOD: [&str; 7] = [
    "repliq://ann@example.org:7/orders",
    "repliq://127.0.0.1:20901",
    "repliq://ann@[fe80::1:2]:7/a/b",
    "repliq://a%40b@h:7/%C3%A4%20x",
    "repliq+unix://ann@/run/repliq/socket",
    "repliq+unix:///run/repliq/socket",
    "repliq://ann:unspeakable@example.org:7/orders",
];

/// What a URL is made of.
const WORDS: [&[u8]; 14] = [
    b"@",
    b":",
    b"/",
    b"[",
    b"]",
    b"%",
    b"%00",
    b"%2F",
    b"%C3",
    b"::",
    b"65535",
    b"repliq://",
    b"repliq+unix://",
    b"\xc3\xa4",
];

#[test]
fn a_spoiled_url_is_read_as_it_is_printed_or_refused_and_no_password_is_repeated() {
    let test =
        "net urls::a_spoiled_url_is_read_as_it_is_printed_or_refused_and_no_password_is_repeated";
    let (mut read, mut refused) = (0_u64, 0_u64);
    seeds::run("T10 URL", test, 3, |seed| {
        let mut random = Random::new(seed);
        for _ in 0..URLS {
            let good = GOOD[random.below(GOOD.len())];
            let bytes = random.change(good.as_bytes(), &WORDS);
            let url = String::from_utf8_lossy(&bytes);
            match Endpoint::parse(&url) {
                Ok(endpoint) => {
                    let printed = endpoint.to_string();
                    let again = Endpoint::parse(&printed);
                    assert_eq!(again.ok().as_ref(), Some(&endpoint), "{url:?} is {printed:?}");
                    read += 1;
                }
                Err(error) => {
                    assert_eq!(error.code(), Code::Invalid, "{url:?}: {error}");
                    // What stands behind the last @ is no user and no password.
                    let shown = url.rsplit_once('@').map_or(&*url, |(_, behind)| behind);
                    let repeated = error.to_string().contains("unspeakable");
                    assert!(!repeated || shown.contains("unspeakable"), "{url:?}: {error}");
                    refused += 1;
                }
            }
        }
        URLS
    });
    assert!(read > 100 && refused > 100, "{read} read, {refused} refused");
}

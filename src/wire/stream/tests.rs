//! Golden bytes, and what damaged bodies do.

use super::*;

fn stamp(sequence: u64) -> Stamp {
    Stamp { epoch: 2, sequence, chain: 0x0807_0605_0403_0201 }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const STAMP_5: &str = "0200000005000000000000000102030405060708";
const STAMP_6: &str = "0200000006000000000000000102030405060708";

fn hello() -> Hello {
    Hello {
        group: *b"0123456789abcdef",
        stream: 0x1122_3344_5566_7788,
        safe: Position { epoch: 2, sequence: 9 },
        kept: stamp(5),
        history: vec![
            HistoryRow { epoch: 1, first: 1, owner: 7, cause: Cause::Create },
            HistoryRow { epoch: 2, first: 4, owner: 0xdead_beef, cause: Cause::Crash },
        ],
        root: "root".to_string(),
        queue: "q".to_string(),
        target: "Tolocal".to_string(),
    }
}

fn entries() -> Vec<u8> {
    let mut body = Vec::new();
    begin_data(&mut body, 0x11, &stamp(5));
    put_advance(&mut body, &stamp(6));
    put_transaction(&mut body, &stamp(6), 1_000, 2);
    put_record(&mut body, &Record { kind: MESSAGE, sum: 0xaabb_ccdd, body: b"abc" });
    put_record(&mut body, &Record { kind: MESSAGE, sum: 1, body: b"" });
    put_skip(&mut body, &stamp(5));
    body
}

/// One body of each kind, and what reads it.
type Read = fn(&[u8]) -> bool;

fn all() -> Vec<(&'static str, Vec<u8>, Read)> {
    let mut bodies = Vec::new();
    let mut add = |name, write: &dyn Fn(&mut Vec<u8>), read: Read| {
        let mut body = Vec::new();
        write(&mut body);
        bodies.push((name, body, read));
    };
    add("hello", &|body| hello().encode(body), |body| Hello::decode(body).is_ok());
    let answer = Answer {
        code: Code::Fenced,
        stamp: Some(stamp(5)),
        epoch: 3,
        credit: 9,
        reason: "no".into(),
    };
    add("answer", &|body| answer.encode(body), |body| Answer::decode(body).is_ok());
    let orphan = Resume::Orphan(stamp(5), 1, 6, 8);
    add("resume", &|body| orphan.encode(0x11, body), |body| Resume::decode(body).is_ok());
    add("data", &|body| *body = entries(), |body| {
        data(body).is_ok_and(|(_, _, entries)| { entries }.all(|entry| entry.is_ok()))
    });
    let part = Part { stream: 0x11, previous: stamp(5), total: 9, at: 6, bytes: b"xyz" };
    add("part", &|body| part.encode(body), |body| Part::decode(body).is_ok());
    add("confirm", &|body| put_confirm(body, &stamp(6)), |body| confirm(body).is_ok());
    add("credit", &|body| put_credit(body, 0x0102), |body| credit(body).is_ok());
    let refused = Refused { code: Code::TooLarge, stamp: stamp(6), reason: "big".into() };
    add("refused", &|body| refused.encode(body), |body| Refused::decode(body).is_ok());
    bodies
}

#[test]
fn the_bytes_of_every_body_are_the_golden_ones() {
    let stream = "1100000000000000";
    let golden = [
        (
            "hello",
            format!(
                "01{}8877665544332211020000000900000000000000{STAMP_5}0200\
                 0100000001000000000000000700000001\
                 02000000040000000000000 0efbeadde07\
                 0400726f6f740100710700546f6c6f63616c",
                hex(b"0123456789abcdef")
            )
            .replace(' ', ""),
        ),
        ("answer", format!("1b00000001{STAMP_5}03000000090000000000000002006e6f")),
        ("resume", format!("{stream}03{STAMP_5}0100000006000000000000000800000000000000")),
        (
            "data",
            format!(
                "{stream}{STAMP_5}02{STAMP_6}01{STAMP_6}e80300000000000002000000\
                 0100000003000000ddccbbaa6162630100000000000000010000 0003{STAMP_5}"
            )
            .replace(' ', ""),
        ),
        (
            "part",
            format!("{stream}{STAMP_5}09000000000000000600000000000000 78797a").replace(' ', ""),
        ),
        ("confirm", STAMP_6.to_string()),
        ("credit", "0201000000000000".to_string()),
        ("refused", format!("09000000{STAMP_6}0300626967")),
    ];
    for ((name, body, read), (golden_name, bytes)) in all().iter().zip(&golden) {
        assert_eq!((*name, hex(body)), (*golden_name, bytes.clone()));
        assert!(read(body), "{name}");
    }
}

#[test]
fn what_was_written_is_read_back() {
    let mut body = Vec::new();
    hello().encode(&mut body);
    assert_eq!(Hello::decode(&body).unwrap(), hello());
    let body = entries();
    let (id, previous, mut found) = data(&body).unwrap();
    assert_eq!((id, previous), (0x11, stamp(5)));
    assert_eq!(found.next().unwrap().unwrap(), Entry::Advance(stamp(6)));
    let Entry::Transaction(transaction) = found.next().unwrap().unwrap() else {
        panic!("no transaction")
    };
    let records: Vec<Record<'_>> = transaction.records().collect();
    assert_eq!((transaction.stamp, transaction.time_ms, records.len()), (stamp(6), 1_000, 2));
    assert_eq!(
        (records[0].body, records[0].sum, records[1].body),
        (&b"abc"[..], 0xaabb_ccdd, &b""[..])
    );
    assert_eq!(found.next().unwrap().unwrap(), Entry::Skip(stamp(5)));
    assert!(found.next().is_none());
}

#[test]
fn every_truncation_is_refused_and_nothing_panics() {
    for (name, body, read) in all() {
        for length in 0..body.len() {
            // A data frame may end behind any of its entries, and a piece may be shorter.
            let shorter = name == "part" || name == "data";
            assert!(!read(&body[..length]) || shorter, "{name} of {length} bytes");
        }
        let longer = [&body[..], &[0]].concat();
        assert!(!read(&longer), "{name} with a byte more");
    }
}

#[test]
fn no_damaged_body_panics_and_none_makes_room_for_what_is_not_there() {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for (_, body, read) in all() {
        for bit in 0..body.len() * 8 {
            let mut body = body.clone();
            body[bit / 8] ^= 1 << (bit % 8);
            read(&body);
        }
        for _ in 0..2_000 {
            let mut body = body.clone();
            for byte in &mut body {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                if random >> 61 == 0 {
                    *byte = (random >> 40) as u8;
                }
            }
            read(&body);
        }
    }
}

#[test]
fn a_piece_outside_of_its_transaction_and_a_huge_total_are_refused() {
    let total = limits::STREAM_TRANSACTION_BYTES_MAX + 1;
    for (total, at) in [(2, 0), (9, 7), (9, u64::MAX), (total, 0)] {
        let mut body = Vec::new();
        Part { stream: 1, previous: stamp(5), total, at, bytes: b"xyz" }.encode(&mut body);
        assert_eq!(Part::decode(&body).unwrap_err().code(), Code::Protocol, "{total} {at}");
    }
}

#[test]
fn another_version_is_told_by_its_code() {
    let mut body = Vec::new();
    hello().encode(&mut body);
    body[0] = 9;
    assert_eq!(Hello::decode(&body).unwrap_err().code(), Code::Version);
}

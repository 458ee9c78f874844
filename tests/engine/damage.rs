//! T2: every truncation and every flipped bit of a journal that holds every kind of record, and sectors and
//! segments zeroed, doubled, swapped, stale or foreign.
//!
//! Per case, one of these: the store opens and shows everything; it opens, and a read says CORRUPT; it does
//! not open, CORRUPT or VERSION, and opens for reading and shows a prefix. Never other bytes than were put,
//! never less without a word, never a panic.

use crate::oracle::{Client, Model, observe, small};
use crate::seeds;
use crate::work::{self, Act};
use repliq::disk::model::ModelDisk;
use repliq::{Code, Level, Result, Store, StoreOptions};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A journal and what it must show.
pub struct Subject {
    pub files: BTreeMap<String, Vec<u8>>,
    pub options: StoreOptions,
    pub model: Model,
    pub ever: Model,
    pub steps: Vec<Arc<Model>>,
    /// What [`streams`] says.
    pub streams: String,
    /// The sessions it remembers; `None` where they are not compared.
    pub sessions: Option<Vec<String>>,
}

/// What a store knows of the streams it sends and receives.
pub fn streams(store: &Store) -> String {
    let status: serde_json::Value = serde_json::from_str(&store.status().unwrap()).unwrap();
    format!("{} {:?}", status["targets"], repliq::replicate::received(store))
}

/// What became of the cases.
#[derive(Debug, Default)]
pub struct Counts {
    cases: usize,
    harmless: usize,
    corrupt_at_read: usize,
    corrupt_at_open: usize,
    /// Of those: can be opened for reading.
    readable: usize,
    /// Of those: show exactly what the store was after one of its transactions.
    exact: usize,
}

impl Counts {
    pub fn report(&self, what: &str, least: usize) {
        println!("T2, {what}: {self:?}");
        assert!(self.cases >= least / crate::SAMPLE, "only {} cases", self.cases);
        assert_eq!(
            self.cases,
            self.harmless + self.corrupt_at_read + self.corrupt_at_open,
            "every case has one outcome"
        );
    }
}

/// A journal of several lives with every type of record that is written: messages, acknowledgements, queues,
/// consumers, deliveries, sessions, prepared transactions, history, incarnations, watermarks, indexes, reclaims, moved messages, state runs, and staged
/// files that were adopted.
pub fn subject(segment: u64, size: usize, rounds: usize) -> Subject {
    let mut client = Client::new(ModelDisk::new(), small(segment));
    assert!(client.open());
    let acts = [
        Act::Put("a", vec![size, size / 2], Level::Power),
        Act::Put("b", vec![size / 3], Level::Process),
        Act::Consume("a", "reader", 3, 1),
        Act::Put("keep", vec![size / 4], Level::Power),
    ];
    // A session that is remembered: its row goes through the runs, and its last records stay in the tail.
    let remembered = |client: &mut Client| {
        let put = Act::Put("passing", vec![9], Level::Power);
        let again = Act::Again("passing", "known", 1);
        let moved = Act::Move("passing", "known", 1, &["a"], Level::Power);
        for act in [&put, &again, &again, &moved] {
            assert!(work::act(client, act), "{act:?}");
        }
    };
    remembered(&mut client);
    // A prepared transaction, which waits while everything else happens.
    let prepare = |client: &mut Client| {
        assert!(work::act(client, &Act::Put("passing", vec![9], Level::Power)));
        assert!(work::act(client, &Act::Prepare("passing", "known", 1, &["a"])));
    };
    prepare(&mut client);
    // A queue that nobody reads, in segments of which the rest is read: its messages are moved.
    assert!(work::act(&mut client, &Act::Consume("slow", "sleeper", 0, 1)));
    for _ in 0..7 {
        assert!(work::act(&mut client, &Act::Put("slow", vec![20], Level::Power)));
        assert!(work::act(&mut client, &Act::ToEnd("slow", "sleeper", 1)));
        assert!(work::act(
            &mut client,
            &Act::Put("a", vec![segment as usize * 2 / 5], Level::Power)
        ));
        assert!(work::act(&mut client, &Act::Consume("a", "reader", 9, 1)));
    }
    for round in 0..rounds {
        for act in &acts {
            assert!(work::act(&mut client, act), "{act:?}");
        }
        if round == 2 {
            let staged = Act::Put("a", vec![size; 1024 / size + 2], Level::Power);
            assert!(work::act(&mut client, &staged));
            assert!(work::act(&mut client, &Act::Consume("a", "reader", 99, 1)));
        }
        if round % 3 == 1 {
            assert!(work::act(&mut client, &Act::Reopen));
        }
        if round == rounds / 2 {
            let disk = client.disk.kill();
            assert!(client.go_on(disk, crate::oracle::End::Kill));
            assert!(work::act(&mut client, &Act::Purge("b")));
        }
    }
    remembered(&mut client);
    for act in [Act::Pause("b"), Act::Resume("b"), Act::Put("gone", vec![9], Level::Power)] {
        assert!(work::act(&mut client, &act), "{act:?}");
    }
    assert!(client.delete_queue("gone"));
    // That one is rolled back, the next one committed, and the last one waits.
    for commit in [false, true] {
        prepare(&mut client);
        assert!(work::act(&mut client, &Act::Finish(commit)));
    }
    prepare(&mut client);
    let staged = vec![size; segment as usize / size];
    for lengths in [&[size][..], &staged, &[size / 2]] {
        assert!(client.put("a", lengths, Level::Power));
    }
    let disk = client.disk.kill();
    let mut subject = Subject::of(&client, disk.snapshot());
    let sessions = subject.open(&subject.disk(), true).unwrap().sessions().unwrap();
    assert_eq!(sessions.len(), 5, "the one with a name, and those of the prepared transactions");
    subject.sessions = Some(sessions);
    subject
}

impl Subject {
    /// The files a client left that sends and receives no streams.
    pub fn of(client: &Client, files: BTreeMap<String, Vec<u8>>) -> Subject {
        Subject {
            files,
            options: client.options.clone(),
            model: client.now().clone(),
            ever: client.ever(),
            steps: client.steps().to_vec(),
            streams: "[] []".to_string(),
            sessions: None,
        }
    }

    fn bytes(&self) -> usize {
        self.files.values().map(Vec::len).sum()
    }

    pub fn disk(&self) -> ModelDisk {
        let disk = ModelDisk::new();
        for (name, bytes) in &self.files {
            disk.put_file(name, bytes);
        }
        disk
    }

    fn open(&self, disk: &ModelDisk, read_only: bool) -> Result<Store> {
        let options = StoreOptions { read_only, create: false, ..self.options.clone() };
        Store::open_on(Arc::new(disk.clone()), &options)
    }

    /// Opens what `disk` holds and says what became of the case.
    pub fn judge(&self, disk: &ModelDisk, counts: &mut Counts, case: &dyn Fn() -> String) {
        counts.cases += 1;
        let image = disk.clone_image();
        match self.open(&image, false) {
            Ok(store) => match observe(&store) {
                Ok(seen) => {
                    assert!(seen.fits(&self.model), "{}: silently {seen:#?}", case());
                    assert_eq!(streams(&store), self.streams, "{}", case());
                    if let Some(sessions) = &self.sessions {
                        assert_eq!(store.sessions().unwrap(), *sessions, "{}", case());
                    }
                    counts.harmless += 1;
                }
                Err(error) => {
                    assert_eq!(error.code(), Code::Corrupt, "{}: {error:?}", case());
                    assert!(error.range().is_some(), "{}: {error:?}", case());
                    counts.corrupt_at_read += 1;
                }
            },
            Err(error) => {
                let typed = matches!(error.code(), Code::Corrupt | Code::Version);
                assert!(typed, "{}: {error:?}", case());
                counts.corrupt_at_open += 1;
                self.read(disk, counts, case);
            }
        }
    }

    /// What a damaged store shows to a reader must be a part of what it held.
    fn read(&self, disk: &ModelDisk, counts: &mut Counts, case: &dyn Fn() -> String) {
        let store = match self.open(&disk.clone_image(), true) {
            Ok(store) => store,
            Err(error) => {
                let typed = matches!(error.code(), Code::Corrupt | Code::Version);
                assert!(typed, "{}, for reading: {error:?}", case());
                return;
            }
        };
        counts.readable += 1;
        assert!(store.damage().is_some(), "{}: no damage is told", case());
        match observe(&store) {
            Ok(seen) => {
                assert!(seen.is_prefix_of(&self.ever), "{}: {seen:#?}", case());
                counts.exact += usize::from(self.steps.iter().any(|step| seen.fits(step)));
            }
            Err(error) => assert_eq!(error.code(), Code::Corrupt, "{}: {error:?}", case()),
        }
    }
}

#[test]
fn the_subject_holds_every_record_type() {
    let subject = subject(4096, 300, 12);
    let store = subject.open(&subject.disk(), false).unwrap();
    assert!(observe(&store).unwrap().fits(&subject.model));
    let names: Vec<&String> = subject.files.keys().collect();
    assert!(names.iter().any(|name| name.ends_with(".run")), "{names:?}");
    assert!(names.iter().any(|name| name.ends_with(".stg")), "{names:?}");
    assert!(!names.iter().any(|name| name.starts_with("0000000000000001.seg")), "{names:?}");
    println!("T2: {} files, {} bytes", names.len(), subject.bytes());
}

#[test]
fn every_flipped_bit_is_harmless_or_told() {
    let subject = subject(4096, 150, 7);
    let disk = subject.disk();
    let (mut counts, begun) = (Counts::default(), std::time::Instant::now());
    // All eight of each byte are a matter of the soak; else there are two, other ones from byte to byte.
    let all = seeds::number("REPLIQ_CYCLES").is_some();
    for (name, bytes) in &subject.files {
        let mut damaged = bytes.clone();
        for at in (0..bytes.len()).step_by(crate::SAMPLE) {
            // The file's end was never written to: one flip a byte there.
            let two = [at % 8, (at + at / 8 + 3) % 8];
            let bits = match () {
                () if bytes[at..].iter().all(|byte| *byte == 0) => vec![at % 8],
                () if all => (0..8).collect(),
                () => two.to_vec(),
            };
            for bit in bits {
                damaged[at] ^= 1 << bit;
                disk.put_file(name, &damaged);
                subject.judge(&disk, &mut counts, &|| format!("bit {bit} of byte {at} of {name}"));
                damaged[at] ^= 1 << bit;
            }
        }
        disk.put_file(name, bytes);
    }
    counts.report("bits", if all { 240_000 } else { 60_000 });
    if all {
        seeds::say("T2 every bit", 1, counts.cases as u64, "of no seed", 0, begun);
    }
}

/// Flips a bit of each byte where watermarks alone must say what was durable.
fn flips_without_the_lock_page(subject: &Subject, least: usize) {
    let mut counts = Counts::default();
    let disk = subject.disk();
    disk.remove_file("lock");
    for (name, bytes) in subject.files.iter().filter(|(name, _)| *name != "lock") {
        let written = bytes.len() - bytes.iter().rev().take_while(|byte| **byte == 0).count();
        let mut damaged = bytes.clone();
        for at in (0..written).step_by(crate::SAMPLE) {
            let bit = at % 8;
            damaged[at] ^= 1 << bit;
            disk.put_file(name, &damaged);
            subject.judge(&disk, &mut counts, &|| format!("bit {bit} of byte {at} of {name}"));
            damaged[at] ^= 1 << bit;
        }
        disk.put_file(name, bytes);
    }
    counts.report("bits without the lock page", least);
}

#[test]
fn a_flip_is_told_also_where_the_lock_page_was_lost() {
    flips_without_the_lock_page(&subject(4096, 150, 7), 15_000);
    // A store that never rolled has no state run to stand on.
    flips_without_the_lock_page(&subject(16 << 10, 100, 4), 15_000);
}

#[test]
fn every_truncation_is_harmless_or_told() {
    let subject = subject(4096, 150, 7);
    let disk = subject.disk();
    let mut counts = Counts::default();
    for (name, bytes) in &subject.files {
        for length in (0..bytes.len()).step_by(crate::SAMPLE) {
            disk.put_file(name, &bytes[..length]);
            subject.judge(&disk, &mut counts, &|| format!("{name} cut to {length} bytes"));
        }
        disk.put_file(name, bytes);
    }
    counts.report("truncations", 20_000);
}

#[test]
fn sectors_zeroed_doubled_and_swapped_are_harmless_or_told() {
    let subject = subject(4096, 300, 12);
    let disk = subject.disk();
    let mut counts = Counts::default();
    let sectors: Vec<(&String, usize)> = subject
        .files
        .iter()
        .filter(|(name, _)| [".seg", ".run", ".base", ".stg"].iter().any(|end| name.ends_with(end)))
        .flat_map(|(name, bytes)| (0..bytes.len() / 512).map(move |at| (name, at * 512)))
        .collect();
    let bytes = |(name, at): (&String, usize)| subject.files[name][at..at + 512].to_vec();
    let patched = |(name, at): (&String, usize), sector: &[u8]| {
        let mut file = disk.bytes_of(name).unwrap();
        file[at..at + 512].copy_from_slice(sector);
        disk.put_file(name, &file);
    };
    for (n, &here) in sectors.iter().enumerate() {
        patched(here, &[0; 512]);
        subject.judge(&disk, &mut counts, &|| format!("{here:?} zeroed"));
        for &there in sectors[n + 1..].iter().step_by(crate::SAMPLE) {
            patched(here, &bytes(there));
            subject.judge(&disk, &mut counts, &|| format!("{here:?} holds {there:?}"));
            patched(there, &bytes(here));
            subject.judge(&disk, &mut counts, &|| format!("{here:?} swapped with {there:?}"));
            patched(here, &bytes(here));
            subject.judge(&disk, &mut counts, &|| format!("{there:?} holds {here:?}"));
            patched(there, &bytes(there));
        }
        patched(here, &bytes(here));
    }
    counts.report("sectors", 5_000);
}

#[test]
fn segments_swapped_doubled_missing_stale_or_foreign_are_harmless_or_told() {
    let subject = subject(4096, 300, 12);
    let disk = subject.disk();
    let mut counts = Counts::default();
    let kinds = [".seg", ".stg"];
    let names = subject.files.keys().filter(|n| kinds.iter().any(|end| n.ends_with(end)));
    let names: Vec<&String> = names.collect();
    for a in &names {
        disk.remove_file(a);
        subject.judge(&disk, &mut counts, &|| format!("{a} removed"));
        for b in &names {
            disk.put_file(a, &subject.files[*b]);
            subject.judge(&disk, &mut counts, &|| format!("{a} is a copy of {b}"));
            disk.put_file(b, &subject.files[*a]);
            subject.judge(&disk, &mut counts, &|| format!("{a} and {b} swapped"));
            disk.put_file(b, &subject.files[*b]);
        }
        disk.put_file(a, &subject.files[*a]);
    }
    for (what, other) in [("another store", 7), ("a former life", 1)] {
        let mut client = Client::new(ModelDisk::with_seed(other), small(4096));
        assert!(client.open());
        for _ in 0..8 {
            client.put("a", &[700], Level::Power);
            client.put("a", &[700, 700], Level::Power);
        }
        let segments = client.disk.snapshot();
        for (name, bytes) in segments.iter().filter(|f| kinds.iter().any(|end| f.0.ends_with(end)))
        {
            if !subject.files.contains_key(name) || bytes == &subject.files[name] {
                continue;
            }
            disk.put_file(name, bytes);
            subject.judge(&disk, &mut counts, &|| format!("{name} of {what}"));
            disk.put_file(name, &subject.files[name]);
        }
    }
    counts.report("segments", 40);
}

#[test]
fn a_byte_flipped_under_an_open_store_is_corrupt_at_the_next_receive() {
    for (lengths, kind) in [(&[6000][..], ".seg"), (&[300; 10], ".stg")] {
        let mut client = Client::new(ModelDisk::new(), small(4096));
        assert!(client.open());
        assert!(client.put("a", lengths, Level::Power));
        let consumer = client.consumer("a", "c").unwrap();
        // It lies in one file, which is the largest of its kind; its text says nothing where the store is
        // encrypted.
        let files = client.disk.snapshot().into_iter().filter(|(name, _)| name.ends_with(kind));
        let (name, bytes) = files.max_by_key(|(_, bytes)| bytes.len()).unwrap();
        let mut damaged = bytes.clone();
        damaged[1536 + 1400] ^= 4;
        client.disk.put_file(&name, &damaged);
        let error = consumer.receive(100, std::time::Duration::ZERO).unwrap_err();
        assert_eq!(error.code(), Code::Corrupt, "{error:?}");
        assert!(error.range().is_some());
        client.disk.put_file(&name, &bytes);
        let got = consumer.receive(100, std::time::Duration::ZERO).unwrap();
        assert_eq!(got.len(), lengths.len());
    }
}

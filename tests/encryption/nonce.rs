//! No pair of key and nonce seals two texts: a loop of kills and power cuts, with a snapshot of all files
//! before and after each of them.

use crate::bytes::{Block, blocks};
use crate::{open, password, seeds};
use repliq::disk::model::{Cut, ModelDisk};
use repliq::{ConsumerOptions, Level, Message, Store};
use std::collections::HashMap;
use std::time::Duration;

/// A small generator, so that a failure can be repeated from its seed.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) % limit
    }
}

/// Everything that was ever sealed: by the kind of its file, salt and number.
#[derive(Default)]
struct Seen {
    blocks: HashMap<(String, [u8; 16], u64), Vec<u8>>,
    staged: u64,
    looked: u64,
}

impl Seen {
    fn look(&mut self, disk: &ModelDisk) {
        for block in blocks(&disk.snapshot()) {
            self.looked += 1;
            let Block { file, salt, number, body, offset, .. } = block;
            let kind = file.rsplit('.').next().unwrap_or_default().to_string();
            self.staged += u64::from(kind == "stg");
            let key = (kind, salt, number);
            if let Some(known) = self.blocks.get(&key) {
                assert_eq!(*known, body, "nonce {number} of {salt:02x?} twice, at {offset}");
            } else {
                self.blocks.insert(key, body);
            }
        }
    }
}

fn work(store: &Store, dice: &mut Dice, disk: &ModelDisk, seen: &mut Seen) -> repliq::Result<()> {
    let queue = store.queue("q")?;
    for _ in 0..dice.below(12) {
        let payload = vec![dice.below(256) as u8; dice.below(700) as usize];
        let level = if dice.below(4) == 0 { Level::Process } else { Level::Power };
        let messages = vec![Message::new(&payload); 1 + dice.below(3) as usize];
        store.put_at(queue, &messages, level)?;
        if dice.below(3) == 0 {
            let consumer = store.consumer("c", queue, &ConsumerOptions::default())?;
            let got = consumer.receive(5, Duration::ZERO)?;
            let sequences: Vec<u64> = got.iter().map(|message| message.sequence()).collect();
            consumer.ack(&sequences)?;
        }
        if dice.below(4) == 0 {
            seen.look(disk);
        }
    }
    Ok(())
}

#[test]
fn no_nonce_is_used_twice_over_a_loop_of_kills_and_power_cuts() {
    let test = "encryption nonce::no_nonce_is_used_twice_over_a_loop_of_kills_and_power_cuts";
    seeds::run("T12 nonces", test, 5, |seed| lives(seed, 300));
}

/// Lives of one store after the other; returns how many seals were compared.
fn lives(seed: u64, most: u64) -> u64 {
    let (mut dice, mut seen) = (Dice(seed), Seen::default());
    let mut disk = ModelDisk::with_seed(seed);
    let (mut stops, mut began_anew) = (0, 0);
    for life in 0..most {
        if dice.below(2) == 0 {
            disk.stop_in(1 + dice.below(120));
            stops += 1;
        }
        match open(&disk, password()) {
            Ok(store) => {
                // A stop in the middle is what this is about.
                let _ = work(&store, &mut dice, &disk, &mut seen);
                seen.look(&disk);
                if dice.below(5) == 0 {
                    let _ = store.close();
                }
            }
            Err(error) => assert!(disk.is_stopped(), "life {life}: {error}"),
        }
        seen.look(&disk);
        disk = match dice.below(5) {
            0 => disk.kill(),
            1 => disk.power_cut(Cut::Nothing),
            2 => disk.power_cut(Cut::All),
            _ => disk.power_cut(Cut::Random(dice.below(u64::MAX))),
        };
        seen.look(&disk);
        if dice.below(60) == 0 {
            disk = ModelDisk::with_seed(seed + (life + 1) * 1_000_003);
            began_anew += 1;
        }
    }
    let runs = seen.blocks.keys().filter(|key| key.0 == "run").count();
    println!(
        "{} seals, {runs} of them runs, seen {} times, in {most} lives, {stops} stops and \
         {began_anew} new stores: 0 nonces used twice",
        seen.blocks.len(),
        seen.looked
    );
    assert!(seen.blocks.len() > 300 && runs > 5, "{} {runs}", seen.blocks.len());
    assert!(seen.staged > 10, "{} blocks of staged files", seen.staged);
    seen.blocks.len() as u64
}

//! T17: planted bugs. Each is found by the tier named for it, and without one every tier is content.
//!
//! The tests are built once more, with the feature `sabotage`, in a target directory of its own, and are run with
//! one bug after the other (`src/sabotage.rs`). A tier that misses its bug has to be made a better one.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A tier: the binary, the test, and the seeds it gets here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Tier(&'static str, &'static str);

const MODEL: Tier = Tier("engine", "model::a_store_does_what_its_model_does");
const DAMAGE: Tier =
    Tier("engine", "chance::any_damage_of_one_sector_of_any_journal_is_harmless_or_told");
const REPAIR: Tier = Tier("engine", "repair::a_damaged_store_is_sound_after_its_repair");
const WATERMARKS: Tier = Tier("engine", "damage::a_flip_is_told_also_where_the_lock_page_was_lost");
const CRASH: Tier =
    Tier("engine", "chance::what_was_confirmed_survives_a_stop_anywhere_in_any_life");
const LIVES: Tier = Tier("engine", "chance::a_long_row_of_lives_loses_nothing_that_was_confirmed");
const FAULT: Tier = Tier(
    "engine",
    "fault::a_sync_that_fails_is_never_tried_again_and_what_waited_for_it_is_of_unknown_outcome",
);
const RUNS: Tier = Tier("engine", "runs::a_producer_of_long_ago_is_known_after_any_number_of_runs");
const LOOKS: Tier = Tier("engine", "looks::a_move_between_any_two_reads_of_a_look_hides_nothing");
const NONCES: Tier =
    Tier("encryption", "nonce::no_nonce_is_used_twice_over_a_loop_of_kills_and_power_cuts");
const PLAIN: Tier = Tier("encryption", "tamper::a_plain_frame_in_an_encrypted_journal_is_tampered");
const STREAMS: Tier =
    Tier("replication", "simulation::everything_arrives_once_in_order_and_whole_whatever_happens");
const SHIPPED: Tier = Tier(
    "engine",
    "shipped::a_receiver_has_its_stamp_with_its_data_after_a_stop_at_every_operation",
);

const fn handshake(test: &'static str) -> Tier {
    Tier("replication", test)
}

const fn net(test: &'static str) -> Tier {
    Tier("net", test)
}

const KEYS: Tier = Tier(
    "registry",
    "order::reg_07_the_second_of_a_key_never_starts_before_the_commit_of_the_first",
);
const fn sessions(test: &'static str) -> Tier {
    Tier("sessions", test)
}

/// Each bug, and who must find it.
const BUGS: &[(&str, Tier)] = &[
    ("confirmed before the sync", CRASH),
    ("sync skipped", CRASH),
    ("done before the sync", CRASH),
    ("early positions not announced", LIVES),
    ("part of a transaction believed", CRASH),
    ("believed before it is synced", CRASH),
    ("directory not synced", CRASH),
    ("state run before its place is durable", CRASH),
    ("incarnation not drawn", NONCES),
    ("sync tried again", FAULT),
    ("poison ignored", FAULT),
    ("attempted not stored", FAULT),
    ("row lost in a merge", RUNS),
    ("older base kept as the newest", RUNS),
    (
        "deleted row comes back",
        Tier("engine", "runs::a_session_that_was_forgotten_stays_so_through_runs_and_merges"),
    ),
    ("moved messages not found by a look", LOOKS),
    ("filter denies a row that is there", RUNS),
    (
        "row of an ended life taken along by a merge",
        Tier("engine", "versions::what_a_deleted_consumer_processed_is_gone_from_the_disk"),
    ),
    (
        "versions of keys lost at a roll",
        Tier("engine", "versions::a_version_of_long_ago_is_known_after_any_number_of_runs"),
    ),
    ("page cache believed", FAULT),
    ("watermark skipped", WATERMARKS),
    ("body not summed", DAMAGE),
    ("read without its sum", DAMAGE),
    ("damage cut off", DAMAGE),
    ("missing file forgotten", REPAIR),
    ("acknowledgements lost at a roll", MODEL),
    ("producers lost at a roll", MODEL),
    ("given back while somebody waits", MODEL),
    ("duplicate of a producer taken", MODEL),
    ("handed out before it is durable", MODEL),
    (
        "delivery counts lost at a roll",
        Tier("registry", "workers::counts_and_delays_outlast_state_runs"),
    ),
    (
        "dead letters forgotten at a roll",
        Tier("registry", "redrive::reg_14_letters_outlast_state_runs"),
    ),
    (
        "delivery count lost at a power cut",
        Tier(
            "registry",
            "workers::reg_11_from_the_second_delivery_on_a_power_cut_takes_no_count_away",
        ),
    ),
    (
        "stale lease accepted",
        Tier(
            "registry",
            "workers::reg_09_who_comes_late_is_told_stale_and_its_effects_are_rolled_back",
        ),
    ),
    ("key order broken by prefetch", KEYS),
    (
        "dead letter lost between skip and write",
        Tier(
            "registry",
            "letters::reg_13_after_the_last_try_a_message_is_a_dead_letter_and_other_recipients_are_not_touched",
        ),
    ),
    (
        "redelivery out of order",
        sessions(
            "rows::txs_04_received_and_rolled_back_messages_come_again_in_order_before_newer_ones",
        ),
    ),
    ("sequence gap accepted", MODEL),
    (
        "leases kept when a connection is lost",
        sessions(
            "workers::a_worker_whose_connection_is_lost_gives_its_leases_back_at_once_and_is_late_itself",
        ),
    ),
    (
        "bytes of a transaction not bounded",
        sessions(
            "limits::txs_08_the_put_beyond_the_limit_is_refused_at_once_and_the_commit_rolls_back_and_says_why",
        ),
    ),
    (
        "sessions of a server not bounded",
        sessions("limits::a_user_that_opens_sessions_for_ever_is_refused_and_others_go_on"),
    ),
    (
        "idle transaction kept",
        sessions(
            "limits::txs_29_a_transaction_that_is_idle_is_rolled_back_and_its_owner_is_told_once",
        ),
    ),
    (
        "commit of a fenced session taken",
        net(
            "late::whatever_a_connection_still_brings_after_its_session_was_resumed_elsewhere_is_refused",
        ),
    ),
    (
        "commit applied to the next transaction",
        net("late::a_commit_abort_or_resolve_in_any_later_slot_is_answered_as_readers_see_it"),
    ),
    ("plain frame believed", PLAIN),
    ("arrival taken twice", STREAMS),
    ("arrival confirmed before it is durable", SHIPPED),
    ("cursor moved before the confirmation", STREAMS),
    (
        "arrival not summed",
        Tier("replication", "streams::a_message_changed_on_its_way_is_refused_and_not_stored"),
    ),
    (
        "no epoch after a loss",
        handshake("handshake::a_crash_epoch_leaves_orphans_where_positions_were_lost"),
    ),
    (
        "copy not noticed",
        handshake("handshake::a_copy_ships_nothing_before_claim_or_fork_and_still_serves"),
    ),
    ("older link not fenced", handshake("handshake::a_newer_hello_fences_the_older_link")),
    (
        "older epoch taken",
        handshake("handshake::an_older_epoch_than_one_the_receiver_knows_is_fenced"),
    ),
    (
        "owner of an epoch not compared",
        handshake("handshake::another_owner_of_the_same_epoch_is_refused"),
    ),
    (
        "user of a stream not compared",
        handshake("handshake::another_user_is_refused_and_the_stream_goes_on_undisturbed"),
    ),
    (
        "chain not compared",
        handshake("handshake::a_stamp_with_another_chain_has_diverged_and_claim_leaves_orphans"),
    ),
    (
        "gap accepted unasked",
        handshake("handshake::a_stamp_before_the_oldest_kept_stops_until_the_gap_is_accepted"),
    ),
    (
        "right to replicate not asked",
        handshake("handshake::a_user_without_the_right_is_denied_before_a_queue_is_made"),
    ),
    (
        "proof of a password not checked",
        net("login::a_wrong_password_and_an_unknown_user_are_denied_in_the_same_words_and_steps"),
    ),
    (
        "sessions lost at a roll",
        sessions("identity::a_session_is_remembered_over_rolls_of_the_journal"),
    ),
    (
        "late commit of a session taken",
        sessions(
            "identity::txs_17_a_resolve_before_the_commit_rolls_back_and_the_late_commit_is_refused",
        ),
    ),
    (
        "resolve answers before it is final",
        sessions(
            "identity::txs_17_a_resolve_before_the_commit_rolls_back_and_the_late_commit_is_refused",
        ),
    ),
    (
        "commit without its session's record",
        sessions("identity::a_session_is_remembered_over_rolls_of_the_journal"),
    ),
    (
        "resolve by another user",
        sessions("remote::a_transaction_is_told_to_its_own_user_and_to_an_administrator_only"),
    ),
    (
        "right of a session not asked",
        sessions("remote::rights_are_asked_for_every_queue_of_a_transaction"),
    ),
    (
        "prepared transactions lost at a roll",
        sessions(
            "prepared::it_outlives_every_segment_it_was_written_in_and_leaves_no_file_after_a_roll_back",
        ),
    ),
    (
        "held by a prepared transaction and given out",
        sessions(
            "prepared::txs_30_what_is_prepared_is_seen_by_nobody_and_given_to_nobody_until_it_is_committed",
        ),
    ),
    (
        "files of a prepared transaction removed at the open",
        sessions(
            "prepared::txs_30_a_prepared_transaction_outlives_a_restart_and_is_ended_by_whoever_comes",
        ),
    ),
    (
        "prepared transaction ended by another user",
        sessions(
            "prepared::nobody_sees_or_ends_the_prepared_transaction_of_another_user_but_an_administrator",
        ),
    ),
    ("right of a request not asked", net("rights::each_request_needs_its_right_on_that_queue")),
    (
        "length of a frame not bounded",
        net("hostile::a_hello_with_a_huge_frame_behind_it_is_refused_before_the_frame_comes"),
    ),
];

/// Builds the tests with the planted bugs; the programs by the name of their test file.
fn build() -> BTreeMap<String, PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(ROOT).args(["test", "--no-run", "--locked", "--message-format=json"]);
    cargo.args(["--no-default-features", "--features", "capi,sabotage"]);
    cargo.arg("--target-dir").arg(Path::new(ROOT).join("target/sabotage"));
    cargo.envs([("CARGO_PROFILE_DEV_OPT_LEVEL", "1"), ("CARGO_PROFILE_DEV_DEBUG", "0")]);
    let wanted: BTreeSet<&str> = BUGS.iter().map(|(_, tier)| tier.0).collect();
    for name in &wanted {
        cargo.args(["--test", name]);
    }
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut programs = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let message: serde_json::Value = serde_json::from_str(line).unwrap();
        let name = message["target"]["name"].as_str().unwrap_or_default();
        if let Some(program) = message["executable"].as_str()
            && wanted.contains(name)
        {
            programs.insert(name.to_string(), PathBuf::from(program));
        }
    }
    assert_eq!(programs.len(), wanted.len(), "{programs:?}");
    programs
}

/// Runs a tier with a bug, or without one; whether it was content, and what it said.
fn run(program: &Path, tier: &Tier, bug: Option<&str>) -> (bool, String) {
    let mut command = Command::new(program);
    command.args(["--exact", tier.1]).stdin(Stdio::null()).current_dir(ROOT);
    for name in ["REPLIQ_SEED", "REPLIQ_SECONDS", "REPLIQ_CYCLES", "REPLIQ_SABOTAGE"] {
        command.env_remove(name);
    }
    command.envs(bug.map(|bug| ("REPLIQ_SABOTAGE", bug)));
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("running 1 test"), "there is no {tier:?}:\n{said}");
    (output.status.success(), said)
}

#[test]
fn every_planted_bug_is_found_by_its_tier_and_no_bug_is_found_where_there_is_none() {
    let programs = build();
    let tiers: BTreeSet<Tier> = BUGS.iter().map(|(_, tier)| *tier).collect();
    let sound = tiers.iter().map(|tier| (None, *tier));
    let planted = BUGS.iter().map(|(bug, tier)| (Some(*bug), *tier));
    let cases: Vec<(Option<&str>, Tier)> = sound.chain(planted).collect();
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some((bug, tier)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let begun = std::time::Instant::now();
            let (content, said) = run(&programs[tier.0], tier, *bug);
            println!("{:?}: {} {}", begun.elapsed(), bug.unwrap_or("no bug"), tier.1);
            match bug {
                Some(bug) if content => {
                    wrong.lock().unwrap().push(format!("{bug:?} is missed by {tier:?}"))
                }
                None if !content => {
                    wrong.lock().unwrap().push(format!("{tier:?} fails without a bug:\n{said}"))
                }
                _ => {}
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, |count| count.get().min(4)) {
            scope.spawn(work);
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    println!("{} planted bugs, each found by its tier; {} tiers", BUGS.len(), tiers.len());
}

/// All names in `sabotage!("…")`.
fn planted(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            planted(&path, found);
        } else if path.file_name().is_some_and(|name| name != "sabotage.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let names = text.split("sabotage!(\"").skip(1);
            found.extend(names.map(|rest| rest.split('"').next().unwrap().to_string()));
        }
    }
}

#[test]
fn every_bug_in_the_source_has_a_tier_and_is_there() {
    let mut there = BTreeSet::new();
    planted(&Path::new(ROOT).join("src"), &mut there);
    let named: BTreeSet<String> = BUGS.iter().map(|(bug, _)| bug.to_string()).collect();
    assert_eq!(there, named, "left: src; right: tests/planted.rs");
    assert!(named.len() >= 25 && named.len() == BUGS.len(), "{} bugs", named.len());
}

#[test]
fn nothing_of_the_planted_bugs_is_in_a_library_without_the_feature() {
    let library = Path::new(env!("CARGO_BIN_EXE_repliq"));
    let bytes = std::fs::read(library).unwrap();
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("POISONED"), "the search finds what is there");
    for text in ["REPLIQ_SABOTAGE", "planted: "] {
        assert!(!holds(text), "{text:?} is in {}", library.display());
    }
}

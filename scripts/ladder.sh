#!/usr/bin/env bash
# Looks for failures with fresh seeds: the tests of chance, one after the other, for as long as is asked for.
#
# Usage: scripts/ladder.sh [SECONDS]        600 unless told, shared among the tiers by their weight
#        scripts/ladder.sh --soak [PART]    the numbers of cycles of the table below, or a PART-th of each
#
# The last lines are one a tier: cycles, cases, seeds, failures. Fails when one failed, was skipped, or said nothing.
# What all of them print is in target/ladder.log; a seed that failed stands there with the command that repeats it.
set -euo pipefail
cd "$(dirname "$0")/.."

# weight, cycles of a soak, binary, test. What weighs nothing looks at all there is, whatever the seed, and belongs to a
# soak alone.
tiers() {
    cat << 'TIERS'
0 1      engine      damage::every_flipped_bit_is_harmless_or_told
3 5000   engine      model::a_store_does_what_its_model_does
1 500    engine      model::every_field_of_a_message_comes_back_as_it_was_put
3 200000 engine      chance::any_damage_of_one_sector_of_any_journal_is_harmless_or_told
4 500000 engine      chance::what_was_confirmed_survives_a_stop_anywhere_in_any_life
2 50000  engine      chance::a_long_row_of_lives_loses_nothing_that_was_confirmed
3 200000 engine      chance::a_call_that_fails_anywhere_in_any_life_and_another_one_behind_it_lose_nothing
1 20000  engine      forged::no_numbers_with_right_sums_cost_memory_or_end_a_program
1 20000  encryption  chance::any_damage_of_one_sector_of_any_journal_is_harmless_or_told
1 50000  encryption  chance::what_was_confirmed_survives_a_stop_anywhere_in_any_life
1 50000  encryption  chance::a_call_that_fails_anywhere_in_any_life_and_another_one_behind_it_lose_nothing
1 500    encryption  nonce::no_nonce_is_used_twice_over_a_loop_of_kills_and_power_cuts
4 1000   kill        a_sender_and_two_servers_killed_at_any_instant_lose_repeat_and_tear_nothing
3 500    kill        chaos::on_a_network_in_which_everything_goes_wrong_all_arrives_once_in_order_and_whole
2 500    kill        movers::txs_05_a_mover_killed_at_any_instant_and_at_each_step_moves_each_message_once
2 500    kill        movers::txs_05_a_mover_and_its_server_killed_at_any_instant_move_each_message_once
1 500    kill        movers::txs_15_a_server_killed_inside_a_commit_leaves_an_outcome_that_is_what_readers_see
2 500    kill        workers::workers_and_their_server_killed_at_any_instant_work_on_each_message_once_and_keep_each_key
2 300    kill        workers::workers_whose_network_does_everything_wrong_work_on_each_message_once_and_keep_each_key
2 1000   power       what_was_acknowledged_survives_a_real_power_cut_at_any_instant
1 2000   power       thin::what_a_device_took_and_never_had_is_not_believed_after_a_restart
1 500000 replication fuzz::no_frame_of_a_stream_makes_either_end_panic_or_store_what_was_never_put
3 200000 replication simulation::everything_arrives_once_in_order_and_whole_whatever_happens
1 20000  net         fuzz::no_login_and_no_request_makes_a_server_panic_hang_or_forget_its_users
1 5000   net         fuzz::no_answer_of_a_server_makes_a_client_panic_hang_or_believe_it
1 2000   net         spoiled::no_request_of_a_session_makes_a_server_panic_hang_or_store_what_cannot_be_read
1 1000   net         spoiled::no_answer_to_a_session_makes_a_client_panic_or_hang
1 5000   net         fuzz::no_bytes_but_those_of_a_token_are_a_token
1 5000   net         urls::a_spoiled_url_is_read_as_it_is_printed_or_refused_and_no_password_is_repeated
1 5000   serve       mangled::a_spoiled_configuration_is_read_as_it_stands_or_refused_with_its_line
1 5000   serve       mangled::a_spoiled_users_file_is_read_or_refused_and_what_it_keeps_is_not_repeated
1 200    soak        a_long_load_leaves_memory_files_threads_and_disk_as_they_were
1 5000   abi         sequences::no_sequence_of_calls_crashes_a_program_or_takes_what_is_no_handle_for_one
1 6000   interleave  what_a_commit_confirmed_is_durable_whoever_led_the_sync
1 6000   interleave  a_failed_sync_reaches_everybody_and_confirms_nothing
1 6000   interleave  a_receiver_that_waits_is_woken_by_every_put
1 6000   interleave  each_commit_of_a_port_gives_one_event_also_while_the_store_closes
1 6000   interleave  rolls_and_a_helper_lose_nothing_and_block_nobody
1 6000   interleave  commits_through_the_window_and_synced_ones_keep_their_order
1 6000   interleave  sessions_that_take_the_same_message_take_it_once
1 6000   interleave  a_close_waits_for_nobody_and_loses_nothing_confirmed
1 6000   interleave  an_object_is_there_as_long_as_somebody_is_inside
1 6000   interleave  an_object_of_one_thread_has_one_inside
1 6000   interleave  a_close_that_is_refused_leaves_the_handle_open
TIERS
}

soak='' budget=600 part=1
case ${1-} in
    --soak) soak=yes part=${2:-1} ;;
    '') ;;
    *) budget=$1 ;;
esac

log=target/ladder.log
mkdir -p target && : > "$log"
mapfile -t binaries < <(tiers | awk '$3 != "interleave" { print "--test"; print $3 }' | uniq)
cargo test --locked --no-run "${binaries[@]}"
scripts/interleave.sh --no-run
weights=$(tiers | awk '{ sum += $1 } END { print sum }')

run() {
    local binary=$1
    shift
    if [ "$binary" = interleave ]; then
        scripts/interleave.sh "$@"
    else
        cargo test --locked --test "$binary" -- "$@"
    fi
}

failed=''
while read -r weight cycles binary name; do
    if [ -n "$soak" ]; then
        export REPLIQ_CYCLES=$((cycles / part > 0 ? cycles / part : 1))
    elif [ "$weight" -eq 0 ]; then
        continue
    else
        export REPLIQ_SECONDS=$((budget * weight / weights > 0 ? budget * weight / weights : 1))
    fi
    said=$(run "$binary" --exact "$name" --nocapture 2>&1 < /dev/null | tee -a "$log") || failed=yes
    # A test that printed no line of its own has run nothing.
    grep -q '^LADDER ' <<< "$said" || { echo "LADDER $name: nothing" >> "$log"; failed=yes; }
    grep -E '^(LADDER|FAILED|SKIPPED) ' <<< "$said" || true
done < <(tiers)

echo
grep -E '^FAILED ' "$log" || true
grep -E '^(LADDER|SKIPPED) ' "$log"
if grep -qE '^SKIPPED ' "$log"; then failed=yes; fi
[ -z "$failed" ]

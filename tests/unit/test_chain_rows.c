/* Chains of the slots of a sparse table under random schedules: programs that push and pull and attach again,
 * messages that are lost, servers that die, come back, are copied to and copied from, maps that each shard
 * hears of at its own time, generations, and jobs that go back to one. What must hold: chain_rows_play.h. */
#include "chain_rows_play.h"
#include "check_main.h"

#define CASES  RANDOM_CASES(40)
#define LONG   RANDOM_CASES(960) /* steps of the play that has very many messages */
#define EVENTS 3000 /* actions in one step: then nothing happens any more that could end a standstill */

/* All goes back to the committed step, on whatever servers had it then. */
static void go_back(struct play *play)
{
    struct chain_rig *rig = play->rig;

    for (uint32_t node = 0; node < CHAIN_NODES; node++) {
        if (!chain_lives(rig, node))
            chain_start(rig, node);
    }
    rig->incarnation++;
    rig->map_number = 0;
    for (uint32_t i = 0; i < rig->slot_count; i++) {
        struct chain_slot *slot = &rig->slots[i];

        memcpy(slot->nodes, slot->durable, sizeof(slot->nodes));
        slot->copy = slot->leaves = SLOT_NOBODY;
        for (uint32_t node = 0; node < CHAIN_NODES; node++)
            slot->since[node] = rig->committed > 0 ? rig->committed - 1 : 0;
    }
    chain_prepare_all(rig);
    play->ended = rig->committed;
    for (uint32_t i = 0; i < PROGRAMS; i++) {
        play->programs[i].is_attached = false;
        play->programs[i].attempt = 0;
        play->programs[i].ended = rig->committed;
    }
}

static void something_happens(struct play *play)
{
    uint32_t what = chain_draw(play->rig, 40);

    if (what < 8)
        chance_kill(play->rig, chain_may_die);
    else if (what < 12)
        chance_lose(play->rig);
    else if (what < 20)
        (void)chance_start(play->rig);
    else if (what < 39)
        play->moves += chance_copy(play->rig, GROUPS);
    else
        go_back(play);
}

static void act(struct play *play)
{
    struct chain_rig *rig = play->rig;
    uint32_t what = chain_draw(rig, 200);

    if (what < 90 && rig->said_count > 0)
        chance_deliver(rig);
    else if (what < 160)
        program_acts(play);
    else if (what < 175)
        chance_give_map(rig, chain_draw(rig, CHAIN_NODES));
    else if (what < 186)
        chance_write(rig);
    else if (what < 189)
        chain_commit(rig);
    else if (what < 190)
        chance_break(rig);
    else if (what < 194)
        chance_nudge(rig, chain_draw(rig, CHAIN_NODES));
    else if (what < 197 && play->actions < EVENTS)
        something_happens(play);
}

static void play_all(struct play *play)
{
    for (uint64_t step = 1; step <= play->steps; step++) {
        play->actions = 0;
        while (!all_at(play, step) && play->actions++ < ACTIONS)
            act(play);
        if (play->actions >= ACTIONS)
            ck_abort_msg("step %llu does not end", (unsigned long long)step);
    }
    settle(play);
    check_all_replicas(play);
}

START_TEST(whatever_happens_the_rows_are_the_same)
{
    struct play *play = play_new(kinds[(size_t)_i % KINDS], 1 + (uint32_t)_i % 3, (uint64_t)_i + 1);

    play_all(play);
    MUST(play->moves > 0 && play->attached > PROGRAMS && play->checked > 0);
    play_free(play);
}
END_TEST

START_TEST(ten_thousand_messages_change_no_row)
{
    struct play *play = play_new_steps(kinds[0], 3, 7, LONG);

    play_all(play);
    chance_tell(play->rig, "rows");
    play_free(play);
}
END_TEST

static Suite *chain_rows_suite(void)
{
    Suite *suite = suite_create("chain_rows");
    TCase *tests = tcase_create("chain_rows"), *messages = tcase_create("messages");

    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, whatever_happens_the_rows_are_the_same, 0, CASES);
    tcase_set_timeout(messages, 300);
    tcase_add_test(messages, ten_thousand_messages_change_no_row);
    suite_add_tcase(suite, tests);
    suite_add_tcase(suite, messages);
    return suite;
}

CHECK_MAIN(chain_rows_suite)

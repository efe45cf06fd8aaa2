/* Chains of chunks with clocks, in the throughput modes, under random schedules: pushes that are repeated or
 * go to the wrong shard, messages that are lost, servers that die, come back, are copied to and copied from,
 * maps and epochs that each shard hears of at its own time, generations, and jobs that go back to one. Each
 * update has a weight of its own in each chunk, so that the weights tell which ones were applied, and how
 * often: those that a worker was told of once, the others once or never; and all replicas come to the same
 * bits. */
#include "check_main.h"
#include "chain_updates_play.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__) /* one thread, and much slower */
#define PLAYS 4
#else
#define PLAYS 24
#endif
#define ACTIONS 3000

/* ---- what clients see */

static void ask_next(struct play *play, uint64_t number, uint32_t chunk)
{
    struct data_header header = rig_header(DATA_PULL, 0, TABLE_WEIGHTS, 0);

    play->next[chunk] = UINT64_MAX;
    header.newest = header.acknowledge = true;
    header.worker = number;
    header.request = ASKED_NEXT;
    header.payload_count = 1;
    header.payloads[0] = (struct data_payload){chunk, DATA_FLOAT32, 0};
    send_to(play, head_of(play, chunk), "who asks", &header, NULL);
}

/* ---- workers */

static void leave(struct play *play, uint32_t who)
{
    if (play->hand_count > 1)
        play->hands[who] = play->hands[--play->hand_count];
}

/* A worker asks anew where it is, if all heads answer. */
static void synchronise(struct play *play, struct hand *hand)
{
    uint64_t least = UINT64_MAX;

    for (uint32_t chunk = 0; chunk < CHUNKS; chunk++) {
        ask_next(play, hand->number, chunk);
        if (play->next[chunk] == UINT64_MAX)
            return;
        ck_assert_uint_ge(play->next[chunk], hand->first);
        for (uint64_t step = hand->first; step < STEPS_MAX && play->told.has[chunk][hand->number][step];
             step++)
            ck_assert_uint_gt(play->next[chunk], step);
        least = play->next[chunk] < least ? play->next[chunk] : least;
    }
    hand->step = least;
    memset(hand->is_given, 0, sizeof(hand->is_given));
    memset(hand->is_applied, 0, sizeof(hand->is_applied));
}

static bool is_done(const struct hand *hand)
{
    for (uint32_t chunk = 0; chunk < CHUNKS; chunk++) {
        if (!hand->is_given[chunk] || !hand->is_applied[chunk])
            return false;
    }
    return true;
}

/* A worker goes on, or pushes a chunk of its step: now and then to one that is no head. */
static void work(struct play *play, struct hand *hand)
{
    uint32_t chunk = chain_draw(play->rig, CHUNKS), node = head_of(play, chunk);

    if (is_done(hand)) {
        if (hand->step + 1 == STEPS_MAX)
            return;
        hand->step++;
        memset(hand->is_given, 0, sizeof(hand->is_given));
        memset(hand->is_applied, 0, sizeof(hand->is_applied));
    }
    push(play, chain_draw(play->rig, 10) == 0 ? chain_draw(play->rig, CHAIN_NODES) : node, hand, chunk);
}

/* ---- what happens */

static bool may_die(const struct chain_rig *rig, uint32_t dies)
{
    for (uint32_t i = 0; i < rig->slot_count; i++) {
        uint32_t left = 0;

        for (uint32_t node = 0; node < CHAIN_NODES; node++)
            left += node != dies && chain_lives(rig, node) && chain_has(&rig->slots[i], node);
        if (left == 0)
            return false;
    }
    return true;
}

static void start_somebody(struct play *play)
{
    uint32_t node = chance_start(play->rig);

    if (node == CHAIN_NODES)
        return;
    play->epoch_heard[node] = 0;
    play->is_asked[node] = false;
}

static void something_happens(struct play *play)
{
    uint32_t what = chain_draw(play->rig, 100);

    if (what < 25)
        chance_kill(play->rig, may_die);
    else if (what < 45)
        start_somebody(play);
    else if (what < 80)
        play->copies += chance_copy(play->rig, play->rig->slot_count);
    else if (what < 88)
        join(play);
    else if (what < 98)
        leave(play, chain_draw(play->rig, play->hand_count));
    else if (play->newest_number + HANDS_MAX < NUMBERS_MAX - HANDS_MAX)
        go_back(play);
    if (what >= 80)
        make_epoch(play);
}

static void write_what_is_due(struct play *play, uint32_t node)
{
    if (chain_lives(play->rig, node) && play->rig->nodes[node].write_count > 0)
        chain_write(play->rig, node);
}

static void act(struct play *play)
{
    struct chain_rig *rig = play->rig;
    uint32_t what = chain_draw(rig, 200), node = chain_draw(rig, CHAIN_NODES);
    struct hand *hand = &play->hands[chain_draw(rig, play->hand_count)];

    if (what < 80 && rig->said_count > 0)
        chance_deliver(rig);
    else if (what < 140)
        work(play, hand);
    else if (what < 156)
        chance_give_map(play->rig, node);
    else if (what < 164)
        deliver_epoch(play, node);
    else if (what < 168)
        write_what_is_due(play, node);
    else if (what < 172)
        deliver_ask(play, node);
    else if (what < 175)
        commit_if_made(play);
    else if (what < 177)
        ask_generation(play);
    else if (what < 179)
        chain_break(rig, node, chain_draw(rig, CHAIN_NODES));
    else if (what < 186)
        chance_nudge(play->rig, node);
    else if (what < 192)
        synchronise(play, hand);
    else
        something_happens(play);
}

/* ---- plays */

/* The job is not stuck: everybody goes on, the slowest as well. */
static void check_progress(struct play *play)
{
    for (uint32_t i = play->hand_count; i > 0; i--) {
        if (play->hands[i - 1].step > STEPS_MAX - 40)
            leave(play, i - 1);
    }
    if (play->hands[0].step > STEPS_MAX - 40) { /* the only one */
        ck_assert_uint_lt(++play->newest_number, NUMBERS_MAX);
        play->hands[0] = (struct hand){.number = play->newest_number};
    }
    make_epoch(play);
    settle(play);
    for (uint32_t i = 0; i < play->hand_count; i++) {
        struct hand *hand = &play->hands[i];
        uint64_t goal = hand->step + 1;

        for (uint32_t turn = 0; hand->step < goal; turn++) {
            ck_assert_msg(turn < 4000, "worker %u is stuck at step %u", (unsigned)hand->number,
                          (unsigned)hand->step);
            for (uint32_t other = 0; other < play->hand_count; other++)
                work(play, &play->hands[other]);
            chain_deliver_all(play->rig);
        }
    }
}

START_TEST(no_update_is_lost_or_doubled)
{
    struct play *play = malloc(sizeof(*play));

    ck_assert_ptr_nonnull(play);
    play_init(play, _i % 4 != 3, 1 + (uint32_t)_i % 3, (uint64_t)_i + 1);
    for (uint32_t i = 0; i < ACTIONS; i++)
        act(play);
    settle(play);
    check_progress(play);
    settle(play);
    check_all_replicas(play);
    ck_assert_uint_gt(play->copies, 0);
    ck_assert_uint_gt(play->updates, 0);
    play_fini(play);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("chain_updates");
    TCase *plays = tcase_create("plays");

    tcase_set_timeout(plays, 60);
    tcase_add_loop_test(plays, no_update_is_lost_or_doubled, 0, PLAYS);
    suite_add_tcase(suite, plays);
    return suite;
}

CHECK_MAIN(make_suite)

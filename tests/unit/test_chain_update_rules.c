/* Chains of chunks with clocks, in the throughput modes: the rules of its messages, one by one. */
#include "check_main.h"
#include "chain_updates_play.h"

/* A job whose slots lie in chains of so many nodes, slot 0 on those from 0 on; all know the first epoch. */
static struct play *play_new(uint32_t places)
{
    struct play *play = malloc(sizeof(*play));

    ck_assert_ptr_nonnull(play);
    play_init(play, true, places, 1);
    for (uint32_t node = 0; node < CHAIN_NODES; node++)
        deliver_epoch(play, node);
    return play;
}

/* The first worker pushes chunk 0 of a step to a node. */
static void push_step(struct play *play, uint32_t node, uint64_t step)
{
    play->hands[0].step = step;
    push(play, node, &play->hands[0], 0);
}

static bool is_told(const struct play *play, uint64_t step)
{
    return play->told.has[0][play->hands[0].number][step];
}

/* Slot 0 is copied to a node by a new map, of which nobody has heard yet. */
static void copy_to(struct play *play, uint32_t node)
{
    chain_map_changed(play->rig);
    play->rig->slots[0].copy = node;
    play->rig->slots[0].copy_number = play->rig->map_number;
}

static void take_out(struct play *play, uint32_t node)
{
    chain_remove(&play->rig->slots[0], node);
    chain_map_changed(play->rig);
}

/* Delivers the oldest message from a node to another; there must be one. */
static void deliver(struct play *play, uint32_t from, uint32_t to)
{
    uint32_t index = 0;

    while (index < play->rig->said_count &&
           (play->rig->said[index].from != from || play->rig->said[index].to != to))
        index++;
    ck_assert_uint_lt(index, play->rig->said_count);
    chain_deliver(play->rig, index);
}

START_TEST(an_update_is_told_when_all_have_it)
{
    struct play *play = play_new(3);

    push_step(play, 0, 0);
    deliver(play, 0, 1);
    deliver(play, 1, 2);
    deliver(play, 2, 1);
    ck_assert(!is_told(play, 0));
    deliver(play, 1, 0);
    ck_assert(is_told(play, 0));
    check_all_replicas(play);
    play_fini(play);
}
END_TEST

/* It is on its way when it is pushed again: one update, of which both hear. */
START_TEST(what_is_on_its_way_is_not_doubled)
{
    struct play *play = play_new(2);

    push_step(play, 0, 0);
    push_step(play, 0, 0);
    ck_assert_uint_eq(play->rig->said_count, 1);
    chain_deliver_all(play->rig);
    ck_assert(is_told(play, 0));
    push_step(play, 0, 0); /* and when it is there */
    ck_assert_uint_eq(play->rig->said_count, 0);
    check_all_replicas(play);
    ck_assert_uint_eq(play->version[0], 1);
    play_fini(play);
}
END_TEST

/* Who believes to be the head still has the same push sent to another one; it is applied once. */
START_TEST(an_old_head_changes_nothing)
{
    struct play *play = play_new(3);

    take_out(play, 0);
    chance_give_map(play->rig, 1);
    chance_give_map(play->rig, 2);
    push_step(play, 1, 0);
    push_step(play, 0, 0);
    deliver(play, 0, 1);
    ck_assert(!is_told(play, 0));
    chain_deliver_all(play->rig);
    ck_assert(is_told(play, 0));
    check_all_replicas(play);
    ck_assert_uint_eq(play->version[0], 1);
    play_fini(play);
}
END_TEST

/* What a shard said before it left the chain is not taken for what it says when it is copied to again. */
START_TEST(an_old_acknowledgement_is_none)
{
    struct play *play = play_new(2);

    push_step(play, 0, 0);
    deliver(play, 0, 1);
    take_out(play, 1); /* of which nobody hears */
    copy_to(play, 1);
    chance_give_map(play->rig, 0);
    chance_give_map(play->rig, 1);
    deliver(play, 1, 0);
    ck_assert(!is_told(play, 0));
    deliver(play, 0, 1); /* the snapshot; what follows is lost */
    ck_assert(chain_has(&play->rig->slots[0], 1));
    chain_break(play->rig, 0, 1);
    settle(play);
    ck_assert(is_told(play, 0));
    check_all_replicas(play);
    play_fini(play);
}
END_TEST

START_TEST(an_old_snapshot_is_none)
{
    struct play *play = play_new(1);

    copy_to(play, 1);
    chance_give_map(play->rig, 0);
    take_out(play, 1);
    chance_give_map(play->rig, 0);
    push_step(play, 0, 0);
    copy_to(play, 1);
    chance_give_map(play->rig, 0);
    chance_give_map(play->rig, 1);
    push_step(play, 0, 1);
    chain_deliver_all(play->rig);
    settle(play);
    ck_assert(is_told(play, 0) && is_told(play, 1));
    check_all_replicas(play);
    play_fini(play);
}
END_TEST

/* Whoever comes to be the head knows the workers, before another epoch tells of them. */
START_TEST(a_copy_knows_who_is_live)
{
    struct play *play = play_new(1);

    push_step(play, 0, 0);
    copy_to(play, 1);
    chain_give_maps(play->rig);
    chain_deliver_all(play->rig);
    take_out(play, 0);
    chain_give_maps(play->rig);
    push_step(play, 1, 1);
    ck_assert(is_told(play, 1));
    play_fini(play);
}
END_TEST

/* Both hear of a map at their own time, and nobody waits for half a second. */
START_TEST(who_is_behind_another_says_so)
{
    for (uint32_t first = 0; first <= 2; first += 2) {
        struct play *play = play_new(3);

        push_step(play, 0, 0);
        take_out(play, 1);
        chain_break(play->rig, 0, 1);
        chance_give_map(play->rig, first);
        chain_deliver_all(play->rig);
        ck_assert(!is_told(play, 0));
        chance_give_map(play->rig, 2 - first);
        chain_deliver_all(play->rig);
        ck_assert(is_told(play, 0));
        play_fini(play);
    }
}
END_TEST

/* Of generations that were asked for before it came a copy is none, and of all later ones. */
START_TEST(a_copy_is_in_later_generations)
{
    struct play *play = play_new(1);
    struct chain_node *late = &play->rig->nodes[4]; /* it has none of the chunks */

    for (uint64_t step = 0; step < 5; step++)
        push_step(play, 0, step);
    ask_generation(play);
    deliver_ask(play, 4);
    ck_assert_uint_eq(late->committed, 1);
    copy_to(play, 4);
    chain_give_maps(play->rig);
    chain_deliver_all(play->rig);
    ck_assert_uint_eq(play->rig->slots[0].since[4], 1);
    settle(play);
    ck_assert_uint_eq(play->commits, 1);
    ask_generation(play);
    deliver_ask(play, 4);
    ck_assert_uint_eq(late->write_count, 1);
    ck_assert_uint_eq(late->writes[0]->captured, 1);
    settle(play);
    ck_assert_uint_eq(play->commits, 2);
    take_out(play, 0);
    settle(play);
    go_back(play);
    play_fini(play);
}
END_TEST

/* A generation that waits for the one before has what was captured, whatever leaves meanwhile. */
START_TEST(who_leaves_is_in_what_was_captured)
{
    struct play *play = play_new(2);
    struct chain_node *second = &play->rig->nodes[1];

    shard_commit(second->shard, RIG_JOB, 1, 1);
    chain_write(play->rig, 1);
    shard_commit(second->shard, RIG_JOB, 1, 2);
    ck_assert_uint_eq(second->write_count, 0);
    take_out(play, 1);
    chance_give_map(play->rig, 1);
    shard_committed(second->shard, RIG_JOB, 1, 1);
    ck_assert_uint_eq(second->write_count, 1);
    chain_write(play->rig, 1);
    ck_assert_uint_eq(second->committed, 2);
    play_fini(play);
}
END_TEST

/* After going back all have what the head had, and nothing is durable before. */
START_TEST(a_generation_waits_for_what_heads_have)
{
    struct play *play = play_new(2);
    struct chain_node *second = &play->rig->nodes[1];

    push_step(play, 0, 0);
    deliver(play, 0, 1);
    ask_generation(play);
    deliver_ask(play, 0); /* without the update */
    deliver_ask(play, 1); /* with it */
    settle(play);
    ck_assert_uint_eq(play->commits, 1);
    ck_assert(is_told(play, 0));
    go_back(play);
    look(play, 0);
    ck_assert_uint_eq(play->version[0], 0);
    ask_generation(play);
    deliver_ask(play, 1);
    ck_assert_uint_eq(second->committed, 1);
    ck_assert_uint_eq(second->write_count, 0);
    chain_deliver_all(play->rig);
    ck_assert_uint_eq(second->write_count, 1);
    settle(play);
    check_all_replicas(play);
    play_fini(play);
}
END_TEST

/* It dies before anybody has what it has: the next one goes on from its own record, and others from that. */
START_TEST(a_head_that_dies_at_once_is_succeeded)
{
    struct play *play = play_new(3);

    push_step(play, 0, 0);
    deliver(play, 0, 1);
    deliver(play, 1, 2);
    deliver(play, 2, 1);
    ask_generation(play);
    for (uint32_t node = 0; node < CHAIN_NODES; node++)
        deliver_ask(play, node); /* without the update at 0, with it at 1 and 2 */
    settle(play);
    ck_assert_uint_eq(play->commits, 1);
    go_back(play);
    look(play, 0);
    ck_assert_uint_eq(play->version[0], 0);
    chain_break(play->rig, 0, 1);
    chain_kill(play->rig, 0);
    settle(play);
    look(play, 0);
    ck_assert_uint_eq(play->version[0], 1);
    push_step(play, 1, 0);
    chain_deliver_all(play->rig);
    ck_assert(is_told(play, 0));
    ask_generation(play);
    settle(play);
    ck_assert_uint_eq(play->commits, 2);
    check_all_replicas(play);
    ck_assert_uint_eq(play->version[0], 2);
    play_fini(play);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("chain_update_rules");
    TCase *rules = tcase_create("rules");

    tcase_add_test(rules, an_update_is_told_when_all_have_it);
    tcase_add_test(rules, what_is_on_its_way_is_not_doubled);
    tcase_add_test(rules, an_old_head_changes_nothing);
    tcase_add_test(rules, an_old_acknowledgement_is_none);
    tcase_add_test(rules, an_old_snapshot_is_none);
    tcase_add_test(rules, a_copy_knows_who_is_live);
    tcase_add_test(rules, who_is_behind_another_says_so);
    tcase_add_test(rules, a_copy_is_in_later_generations);
    tcase_add_test(rules, who_leaves_is_in_what_was_captured);
    tcase_add_test(rules, a_generation_waits_for_what_heads_have);
    tcase_add_test(rules, a_head_that_dies_at_once_is_succeeded);
    suite_add_tcase(suite, rules);
    return suite;
}

CHECK_MAIN(make_suite)

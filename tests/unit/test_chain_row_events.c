/* Single events in the life of a sparse table's chains, each at the worst moment for it. What must hold:
 * chain_rows_play.h. */
#include "chain_rows_play.h"
#include "check_main.h"

/* Nothing is lost, and programs act until a step has ended for all. */
static void plain_steps(struct play *play, uint64_t step)
{
    for (uint32_t actions = 0; !all_at(play, step); actions++) {
        MUST(actions < ACTIONS);
        program_acts(play);
        chain_deliver_all(play->rig);
        if (actions % 32 == 0)
            settle(play);
    }
}

/* The rest of the steps, with nothing happening any more; then all replicas have all. */
static void play_out(struct play *play)
{
    plain_steps(play, STEPS);
    settle(play);
    check_all_replicas(play);
    play_free(play);
}

/* A shard that is in the midst of a copy loses another slot, and with it its rows: none of those that the
 * copy has brought are missing in the end. */
START_TEST(a_slot_that_leaves_takes_nothing_of_a_copy_along)
{
    struct play *play = play_new(kinds[0], 2, 1);
    struct chain_rig *rig = play->rig;
    struct chain_slot *slot = &rig->slots[3]; /* of nodes 3 and 4 */

    plain_steps(play, 3);
    chain_copy_begin(rig, slot, 0);
    chain_give_maps(rig);
    chain_deliver(rig, chain_said_find(rig, DATA_ASK, 0, 4));
    chain_deliver(rig, chain_said_find(rig, DATA_SNAPSHOT, 4, 0)); /* its first part */
    MUST(slot->copy == 0);
    chain_remove(&rig->slots[4], 0); /* of nodes 4 and 0 */
    chain_map_changed(rig);
    chain_give_maps(rig);
    settle(play);
    MUST(slot->copy == SLOT_NOBODY && chain_has(slot, 0));
    play_out(play);
}
END_TEST

/* A part of a copy that was given up comes to a shard without anything, when it is copied to anew. It is
 * dropped; and if it were not, as one that claims to be of the new copy, the copy would begin anew. */
START_TEST(a_part_of_an_older_copy_does_no_harm)
{
    struct play *play = play_new(kinds[0], 2, 1);
    struct chain_rig *rig = play->rig;
    struct chain_slot *slot = &rig->slots[2]; /* of nodes 2 and 3 */
    struct chain_said late;

    plain_steps(play, 3);
    chain_lose(rig, 4);
    settle(play);
    chain_copy_begin(rig, slot, 4);
    chain_give_maps(rig);
    chain_deliver(rig, chain_said_find(rig, DATA_ASK, 4, 3));
    late = chain_said_hold(rig, chain_said_find(rig, DATA_SNAPSHOT, 3, 4));
    chain_remove(slot, 4);
    chain_map_changed(rig);
    settle(play);
    plain_steps(play, 5);
    chain_copy_begin(rig, slot, 4);
    chain_give_maps(rig);
    if (_i == 1)
        late.header.map = rig->map_number;
    chain_said_put(rig, &late);
    settle(play);
    MUST(slot->copy == SLOT_NOBODY && chain_has(slot, 4));
    play_out(play);
}
END_TEST

/* Nothing is lost, but nobody hears of a new map. */
static void acts_by_this_map(struct play *play)
{
    for (uint32_t actions = 0; actions < 200; actions++) {
        program_acts(play);
        chain_deliver_all(play->rig);
        chance_write(play->rig);
        if (actions % 10 == 0)
            chain_commit(play->rig);
    }
}

/* A question for a part of a copy that is over comes late: before its end is known to who gave the parts, or
 * after; or it is of an older version, which who asked has left since. */
START_TEST(a_late_question_begins_no_copy)
{
    struct play *play = play_new(kinds[0], 2, 1);
    struct chain_rig *rig = play->rig;
    struct chain_slot *slot = &rig->slots[2]; /* of nodes 2 and 3 */
    struct chain_said late;

    plain_steps(play, 3);
    chain_copy_begin(rig, slot, 0);
    chain_give_maps(rig);
    shard_nudge(rig->nodes[0].shard); /* it asks twice */
    late = chain_said_hold(rig, chain_said_find(rig, DATA_ASK, 0, 3));
    while (slot->copy != SLOT_NOBODY) {
        chain_deliver(rig, chain_said_find(rig, DATA_ASK, 0, 3));
        chain_deliver(rig, chain_said_find(rig, DATA_SNAPSHOT, 3, 0));
    }
    if (_i == 2)
        late.header.step--;
    if (_i != 1)
        chain_said_put(rig, &late);
    acts_by_this_map(play);
    if (_i == 1)
        chain_said_put(rig, &late);
    acts_by_this_map(play);
    settle(play);
    MUST(chain_has(slot, 0));
    play_out(play);
}
END_TEST

/* Who is copied to asks before who is asked has heard of the copy: it is answered as soon as that one has,
 * and need not ask again, half a second later. */
START_TEST(a_question_that_comes_before_the_map_is_answered)
{
    struct play *play = play_new(kinds[0], 2, 1);
    struct chain_rig *rig = play->rig;
    struct chain_slot *slot = &rig->slots[2]; /* of nodes 2 and 3 */

    plain_steps(play, 3);
    if (_i == 1) { /* who is copied to has nothing yet */
        chain_lose(rig, 0);
        settle(play);
    }
    chain_copy_begin(rig, slot, 0);
    chain_give_map(rig, 0);
    chain_deliver_all(rig);
    MUST(slot->copy == 0);
    chain_give_map(rig, 3);
    chain_deliver_all(rig);
    MUST(slot->copy == SLOT_NOBODY && chain_has(slot, 0));
    settle(play);
    play_out(play);
}
END_TEST

/* ---- norms */

/* All that is on its way comes, but for what a node is told of norms: that is lost. */
static void deliver_but_parts(struct chain_rig *rig, uint32_t node)
{
    while (rig->said_count > 0) {
        if (rig->said[0].to == node && rig->said[0].header.kind == DATA_PART)
            chain_said_drop(rig, 0);
        else
            chain_deliver(rig, 0);
    }
}

static void goes_from(struct play *play, uint32_t group, uint32_t node)
{
    chain_remove(&play->rig->slots[group], node);
    chain_map_changed(play->rig);
}

/* A step ends for all, but a shard that is the head of nothing has not heard what it needs for it; then all
 * those die that have: what they had is on one that was given it when it was made. That one knows the
 * factors. */
START_TEST(a_copy_brings_the_norms_that_others_need)
{
    struct play *play = play_new(kinds[3], 2, 1);
    struct chain_rig *rig = play->rig;

    goes_from(play, 1, 1); /* so 1 only follows 0, in two groups, */
    goes_from(play, 2, 3);
    goes_from(play, 3, 3); /* 3 has nothing, */
    goes_from(play, 4, 0); /* and 2 and 4 have the rest alone */
    settle(play);
    plain_steps(play, 4);
    settle(play);
    while (!all_at(play, 5)) {
        program_acts(play);
        deliver_but_parts(rig, 1);
    }
    for (uint32_t group = 1; group <= 4; group++)
        chain_copy_begin(rig, &rig->slots[group], 3);
    for (uint32_t turn = 0; turn < 2; turn++) {
        chain_give_maps(rig);
        deliver_but_parts(rig, 1);
    }
    for (uint32_t group = 1; group <= 4; group++)
        MUST(chain_has(&rig->slots[group], 3));
    chain_kill(rig, 0);
    chain_kill(rig, 2);
    chain_kill(rig, 4);
    settle(play);
    play_out(play);
}
END_TEST

/* One that is the head of nothing hears nothing of norms, while others are ahead by as much as they can be.
 */
START_TEST(who_is_far_behind_is_told_the_norms)
{
    struct play *play = play_new(kinds[3], 2, 1);

    goes_from(play, 1, 1); /* so 1 only follows 0 */
    settle(play);
    plain_steps(play, 4);
    settle(play);
    for (uint32_t actions = 0; actions < ACTIONS / 20; actions++) {
        program_acts(play);
        deliver_but_parts(play->rig, 1);
    }
    MUST(all_at(play, 5) && !all_at(play, 6));
    play_out(play);
}
END_TEST

/* The others go on while a generation of one that is the head of nothing is not written: it hears all of the
 * next step's norms before it has made the update that the last ones are for. */
START_TEST(a_shard_that_is_held_back_keeps_its_factors)
{
    struct play *play = play_new(kinds[3 + _i], 2, 1);
    struct chain_rig *rig = play->rig;

    goes_from(play, 4, 4); /* so 4 only follows 3 */
    settle(play);
    for (uint32_t actions = 0; actions < ACTIONS / 20; actions++) {
        program_acts(play);
        chain_deliver_all(rig);
        for (uint32_t node = 0; node < 4; node++) {
            while (shard_work(rig->nodes[node].shard))
                ;
            while (rig->nodes[node].write_count > 0)
                chain_write(rig, node);
        }
        chain_commit(rig);
    }
    MUST(all_at(play, 2 * EVERY) && !all_at(play, 2 * EVERY + 1));
    settle(play);
    play_out(play);
}
END_TEST

/* What goes one way stays on its way; all else comes. */
static void deliver_all_but(struct chain_rig *rig, uint32_t from, uint32_t to)
{
    uint32_t index = 0;

    while (index < rig->said_count) {
        if (rig->said[index].from == from && rig->said[index].to == to) {
            index++;
        } else {
            chain_deliver(rig, index);
            index = 0;
        }
    }
}

/* Programs act until a step has ended for all; nothing is written, and what goes one way stays on its way. */
static void steps_but(struct play *play, uint64_t step, uint32_t from, uint32_t to)
{
    for (uint32_t actions = 0; !all_at(play, step); actions++) {
        MUST(actions < ACTIONS);
        program_acts(play);
        deliver_all_but(play->rig, from, to);
    }
}

/* Slots 0 and 5 of nodes 0 and 1, slot 3 of 3 and 4, the others of 0 and 2: so 1 and 4 are heads of nothing.
 * So many steps have ended. */
static struct play *play_with_followers(uint64_t steps)
{
    static const uint32_t nodes[GROUPS][2] = {{0, 1}, {0, 2}, {0, 2}, {3, 4}, {0, 2}, {0, 1}};
    struct play *play = play_new(kinds[0], 2, 1);

    for (uint32_t i = 0; i < GROUPS; i++) {
        memcpy(play->rig->slots[i].nodes, nodes[i], sizeof(nodes[i]));
        memcpy(play->rig->slots[i].durable, nodes[i], sizeof(nodes[i]));
    }
    chain_prepare_all(play->rig);
    plain_steps(play, steps);
    settle(play);
    return play;
}

/* Node 0 dies, and node 1 is its heir, which is held back at an older version than was seen. A program that
 * attaches is told nothing until that is there, or cannot be: then the version that it is to be told. */
static void attach_after_death(struct play *play, uint64_t version)
{
    struct program *program = &play->programs[0];
    struct chain_rig *rig = play->rig;

    chain_kill(rig, 0);
    chain_give_maps(rig);
    program->is_attached = false;
    attach(play, program);
    MUST(!program->is_attached && program->attempt > 0 && program->answers[1] == UINT64_MAX);
    settle(play);
    MUST(program->answers[1] == version);
    attach(play, program);
    MUST(program->is_attached && program->step == version);
    play_out(play);
}

/* Slot 3 is being copied from node 4 to node 1: both stand still. */
static struct play *play_with_a_copy(uint64_t steps)
{
    struct play *play = play_with_followers(steps);
    struct chain_rig *rig = play->rig;

    chain_copy_begin(rig, &rig->slots[3], 1);
    chain_give_maps(rig);
    chain_deliver(rig, chain_said_find(rig, DATA_ASK, 1, 4));
    return play;
}

/* Who has seen the end of a step attaches when the heir of a head awaits a copy of another slot. */
START_TEST(a_head_in_the_midst_of_a_copy_tells_no_step_that_has_ended)
{
    struct play *play = play_with_a_copy(4);

    steps_but(play, 5, 4, 1);
    attach_after_death(play, 5);
}
END_TEST

/* All has been pushed to the head that dies, and nothing to the others: they wait for it. */
START_TEST(a_head_in_the_midst_of_a_copy_tells_the_step_that_others_wait_in)
{
    struct play *play = play_with_a_copy(4);

    for (uint32_t microbatch = 0; microbatch < MICROBATCHES; microbatch++)
        push(play, &play->programs[0], 0, microbatch);
    deliver_all_but(play->rig, 4, 1);
    attach_after_death(play, 4);
}
END_TEST

/* The same when it awaits its disk: the rows of the generation of step 6 are still to be written, and those
 * of step 9 are due. */
START_TEST(a_head_that_awaits_its_disk_tells_no_step_that_has_ended)
{
    struct play *play = play_with_followers(4);

    steps_but(play, 8, SLOT_NOBODY, SLOT_NOBODY);
    for (uint32_t node = 0; node < CHAIN_NODES; node++) {
        while (shard_work(play->rig->nodes[node].shard))
            ;
        while (node != 1 && play->rig->nodes[node].write_count > 0)
            chain_write(play->rig, node);
    }
    steps_but(play, 9, SLOT_NOBODY, SLOT_NOBODY);
    attach_after_death(play, 9);
}
END_TEST

/* Who is copied from has a sum of which it has told already, and dies before it can send it on. The copy is
 * not whole without it: nobody has that sum then. */
START_TEST(a_copy_is_whole_with_the_sum_that_was_told_of)
{
    struct play *play = play_with_a_copy(4);
    struct chain_rig *rig = play->rig;
    struct chain_slot *slot = &rig->slots[3];

    steps_but(play, 5, 4, 1);
    while (rig->said_count > 0) { /* nothing of sums comes to node 1 any more */
        uint32_t index = rig->said_count - 1;
        bool is_copy =
            rig->said[index].header.kind == DATA_ASK || rig->said[index].header.kind == DATA_SNAPSHOT;

        if (is_copy &&
            rig->said[index].connection == rig->connections[rig->said[index].from][rig->said[index].to])
            chain_deliver(rig, index);
        else
            chain_said_drop(rig, index);
    }
    chain_kill(rig, 4);
    chain_give_maps(rig);
    settle(play);
    MUST(slot->copy == SLOT_NOBODY && chain_has(slot, 1));
    play_out(play);
}
END_TEST

/* While a copy is on its way, at version 0 or a later one, a step comes to its end where it is copied from:
 * the sum that the copy is owed follows the last part, and nobody has to say anything again, half a second
 * later.
 */
START_TEST(a_copy_is_sent_the_sum_that_it_is_owed)
{
    uint64_t steps = _i == 0 ? 0 : 4;
    struct play *play = play_with_a_copy(steps);
    struct chain_rig *rig = play->rig;

    steps_but(play, steps + 1, 4, 1);
    chain_deliver_all(rig);
    MUST(rig->slots[3].copy == SLOT_NOBODY && chain_has(&rig->slots[3], 1));
    settle(play);
    play_out(play);
}
END_TEST

/* A shard that has reached a generation's step, and has not written it yet, loses all slots and is copied to
 * from one that is still a step behind: it is in that generation as it was, and nobody waits for it to come
 * again. */
START_TEST(who_comes_back_below_its_generation_is_in_the_next_one)
{
    struct play *play = play_with_followers(5);
    struct chain_rig *rig = play->rig;

    for (uint32_t microbatch = 0; microbatch < MICROBATCHES; microbatch++)
        push(play, &play->programs[0], 0, microbatch); /* and nothing to node 3 */
    chain_deliver_all(rig);
    chain_remove(&rig->slots[0], 1);
    chain_remove(&rig->slots[5], 1);
    chain_map_changed(rig);
    chain_give_maps(rig);
    chain_copy_begin(rig, &rig->slots[3], 1);
    chain_give_maps(rig);
    chain_deliver_all(rig);
    MUST(chain_has(&rig->slots[3], 1));
    MUST(rig->slots[3].since[1] == 2 * EVERY);
    play_out(play);
}
END_TEST

/* A shard that has a part of a step's sums loses all slots, and comes back at a step that has fewer samples.
 */
START_TEST(who_comes_back_knows_no_samples_of_before)
{
    struct play *play = play_with_followers(4);
    struct chain_rig *rig = play->rig;

    MUST(samples_of(5) < samples_of(4));
    chain_copy_begin(rig, &rig->slots[3], 1); /* node 1 awaits its sums from node 4 */
    settle(play);
    MUST(chain_has(&rig->slots[3], 1));
    for (uint32_t microbatch = 0; microbatch < MICROBATCHES; microbatch++)
        push(play, &play->programs[0], 0, microbatch); /* and nothing to node 3 */
    chain_deliver_all(rig);
    for (uint32_t group = 0; group < GROUPS; group++)
        chain_remove(&rig->slots[group], 1);
    chain_map_changed(rig);
    chain_give_maps(rig);
    plain_steps(play, 5);
    chain_copy_begin(rig, &rig->slots[3], 1);
    settle(play);
    MUST(chain_has(&rig->slots[3], 1));
    play_out(play);
}
END_TEST

/* A server has died and come back, and something is being copied to it: a program that still takes it for a
 * head, and has nothing to push to it, is told that it is none. */
START_TEST(who_has_come_back_is_not_pushed_to_by_an_older_map)
{
    struct play *play = play_new(kinds[0], 2, 1);
    struct chain_rig *rig = play->rig;
    struct program *program = &play->programs[0];
    struct data_header header = {.kind = DATA_PUSH, .node = {0, 1}, .acknowledge = true};

    plain_steps(play, 3);
    chain_kill(rig, 0);
    chain_start(rig, 0);
    chain_node_prepare(rig, 0, false);
    chain_copy_begin(rig, &rig->slots[2], 0);
    chain_give_maps(rig);
    header.step = program->step;
    header.samples = samples_of(program->step);
    send(play, program, 0, &header, NULL);
    MUST(program->is_refused && !program->is_attached);
    settle(play);
    play_out(play);
}
END_TEST

static Suite *chain_row_events_suite(void)
{
    Suite *suite = suite_create("chain_row_events");
    TCase *events = tcase_create("chain_row_events");

    tcase_add_test(events, a_slot_that_leaves_takes_nothing_of_a_copy_along);
    tcase_add_loop_test(events, a_part_of_an_older_copy_does_no_harm, 0, 2);
    tcase_add_loop_test(events, a_late_question_begins_no_copy, 0, 3);
    tcase_add_loop_test(events, a_question_that_comes_before_the_map_is_answered, 0, 2);
    tcase_add_test(events, a_copy_brings_the_norms_that_others_need);
    tcase_add_test(events, who_is_far_behind_is_told_the_norms);
    tcase_add_loop_test(events, a_shard_that_is_held_back_keeps_its_factors, 0, 2);
    tcase_add_test(events, a_head_in_the_midst_of_a_copy_tells_no_step_that_has_ended);
    tcase_add_test(events, a_head_in_the_midst_of_a_copy_tells_the_step_that_others_wait_in);
    tcase_add_test(events, a_head_that_awaits_its_disk_tells_no_step_that_has_ended);
    tcase_add_test(events, who_has_come_back_is_not_pushed_to_by_an_older_map);
    tcase_add_test(events, a_copy_is_whole_with_the_sum_that_was_told_of);
    tcase_add_loop_test(events, a_copy_is_sent_the_sum_that_it_is_owed, 0, 2);
    tcase_add_test(events, who_comes_back_knows_no_samples_of_before);
    tcase_add_test(events, who_comes_back_below_its_generation_is_in_the_next_one);
    suite_add_tcase(suite, events);
    return suite;
}

CHECK_MAIN(chain_row_events_suite)

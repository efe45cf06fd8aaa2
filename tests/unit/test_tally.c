/* Reports of several shards put together. */
#include "check_main.h"
#include "tally.h"

static enum tally_outcome prepared(struct tallies *tallies, uint32_t shard, bool holds_pieces,
                                   uint64_t incarnation)
{
    struct shard_report report = {.kind = SHARD_PREPARED,
                                  .shard = shard,
                                  .holds_pieces = holds_pieces,
                                  .job = 1,
                                  .incarnation = incarnation};

    return tally_report(tallies, &report);
}

static enum tally_outcome committed(struct tallies *tallies, uint32_t shard, uint64_t step)
{
    struct shard_report report = {
        .kind = SHARD_COMMITTED, .shard = shard, .job = 1, .incarnation = 1, .step = step};

    return tally_report(tallies, &report);
}

static enum tally_outcome refused(struct tallies *tallies, uint32_t shard, uint64_t step)
{
    struct shard_report report = {
        .kind = SHARD_REFUSED, .shard = shard, .job = 1, .incarnation = 1, .step = step};

    return tally_report(tallies, &report);
}

static enum tally_outcome failed(struct tallies *tallies, uint32_t shard)
{
    struct shard_report report = {.kind = SHARD_FAILED, .shard = shard, .job = 1, .incarnation = 1};

    return tally_report(tallies, &report);
}

START_TEST(all_shards_must_be_prepared)
{
    struct tallies *tallies = tallies_new(3);

    ck_assert_int_eq(prepared(tallies, 0, true, 1), TALLY_WAITS); /* of no job */
    ck_assert_int_eq(tally_begin(tallies, 1, 1, 0, 3), CAIRN_OK);
    ck_assert_int_eq(prepared(tallies, 0, true, 1), TALLY_WAITS);
    ck_assert_int_eq(prepared(tallies, 2, true, 1), TALLY_WAITS);
    ck_assert_int_eq(prepared(tallies, 1, true, 2), TALLY_WAITS); /* of another incarnation */
    ck_assert_int_eq(prepared(tallies, 1, true, 1), TALLY_PREPARED);
    tallies_free(tallies);
}
END_TEST

START_TEST(all_shards_with_weights_must_have_a_generation)
{
    struct tallies *tallies = tallies_new(3);

    ck_assert_int_eq(tally_begin(tallies, 1, 1, 0, 3), CAIRN_OK);
    prepared(tallies, 0, true, 1);
    prepared(tallies, 1, false, 1);
    prepared(tallies, 2, true, 1);
    ck_assert_int_eq(committed(tallies, 2, 10), TALLY_WAITS);
    ck_assert_int_eq(committed(tallies, 0, 10), TALLY_COMMITTED);
    tally_confirm(tallies, 1, 1, 10);
    ck_assert_int_eq(committed(tallies, 0, 20), TALLY_WAITS);
    ck_assert_int_eq(committed(tallies, 2, 10), TALLY_COMMITTED); /* said again */
    ck_assert_int_eq(committed(tallies, 2, 20), TALLY_COMMITTED);
    tallies_free(tallies);
}
END_TEST

/* Three threads, of which the second holds nothing. */
static struct tallies *two_holders(void)
{
    struct tallies *tallies = tallies_new(3);

    ck_assert_int_eq(tally_begin(tallies, 1, 1, 0, 3), CAIRN_OK);
    prepared(tallies, 0, true, 1);
    prepared(tallies, 1, false, 1);
    prepared(tallies, 2, true, 1);
    return tallies;
}

START_TEST(a_commit_is_refused_when_all_refuse)
{
    struct tallies *tallies = two_holders();

    ck_assert_int_eq(refused(tallies, 2, 7), TALLY_WAITS);
    ck_assert_int_eq(committed(tallies, 1, 7), TALLY_WAITS); /* it has nothing to make */
    ck_assert_int_eq(refused(tallies, 0, 7), TALLY_REFUSED);
    /* the step's regular generation comes later */
    ck_assert_int_eq(committed(tallies, 0, 7), TALLY_WAITS);
    ck_assert_int_eq(committed(tallies, 2, 7), TALLY_COMMITTED);
    tallies_free(tallies);
}
END_TEST

/* And makes the next one. */
START_TEST(a_server_of_two_minds_forgoes_a_generation)
{
    struct tallies *tallies = two_holders();

    if (_i == 0) {
        ck_assert_int_eq(committed(tallies, 0, 7), TALLY_WAITS);
        ck_assert_int_eq(refused(tallies, 2, 7), TALLY_SPLIT);
    } else {
        ck_assert_int_eq(refused(tallies, 2, 7), TALLY_WAITS);
        ck_assert_int_eq(committed(tallies, 0, 7), TALLY_SPLIT);
    }
    tally_forgo(tallies, 1, 1, 7);
    ck_assert_int_eq(committed(tallies, 0, 9), TALLY_WAITS);
    ck_assert_int_eq(committed(tallies, 2, 9), TALLY_COMMITTED);
    tallies_free(tallies);
}
END_TEST

START_TEST(a_failure_is_told_once)
{
    struct tallies *tallies = tallies_new(2);

    ck_assert_int_eq(tally_begin(tallies, 1, 1, 0, 2), CAIRN_OK);
    ck_assert_int_eq(failed(tallies, 0), TALLY_FAILED);
    ck_assert_int_eq(failed(tallies, 1), TALLY_WAITS);
    ck_assert_int_eq(prepared(tallies, 1, true, 1), TALLY_WAITS);
    tallies_free(tallies);
}
END_TEST

START_TEST(jobs_end_and_begin_again)
{
    struct tallies *tallies = tallies_new(1);

    ck_assert_int_eq(tally_begin(tallies, 2, 1, 0, 1), CAIRN_OK);
    ck_assert_int_eq(tally_begin(tallies, 1, 1, 0, 1), CAIRN_OK);
    ck_assert_int_eq(tally_begin(tallies, 1, 2, 0, 1), CAIRN_OK);
    ck_assert_int_eq(prepared(tallies, 0, true, 1), TALLY_WAITS);
    tally_end(tallies, 1, 1); /* late */
    ck_assert_int_eq(prepared(tallies, 0, true, 2), TALLY_PREPARED);
    tally_end(tallies, 1, 2);
    tally_end(tallies, 1, 2);
    ck_assert_int_eq(committed(tallies, 0, 1), TALLY_WAITS);
    tallies_free(tallies);
    tallies_free(NULL);
}
END_TEST

static enum tally_outcome held(struct tallies *tallies, uint32_t shard, uint64_t step)
{
    struct shard_report report = {
        .kind = SHARD_HELD, .shard = shard, .job = 1, .incarnation = 1, .step = step};

    return tally_report(tallies, &report);
}

static enum tally_outcome extended(struct tallies *tallies, uint32_t shard, bool holds_pieces, uint64_t step)
{
    struct shard_report report = {.kind = SHARD_EXTENDED,
                                  .shard = shard,
                                  .job = 1,
                                  .incarnation = 1,
                                  .holds_pieces = holds_pieces,
                                  .step = step};

    return tally_report(tallies, &report);
}

/* Twice, as a job may be extended again. */
START_TEST(all_shards_must_be_held_and_extended)
{
    struct tallies *tallies = two_holders();

    for (uint64_t step = 9; step > 7; step--) {
        tally_hold(tallies, 1, 1);
        ck_assert_int_eq(held(tallies, 1, 0), TALLY_WAITS);
        ck_assert_int_eq(held(tallies, 0, step), TALLY_WAITS);
        ck_assert_int_eq(held(tallies, 2, step - 1), TALLY_HELD);
        ck_assert_uint_eq(tally_newest(tallies, 1), step);
        tally_extend(tallies, 1, 1);
        ck_assert_int_eq(extended(tallies, 2, true, step), TALLY_WAITS);
        ck_assert_int_eq(extended(tallies, 1, true, step), TALLY_WAITS);
        ck_assert_int_eq(extended(tallies, 0, true, step), TALLY_EXTENDED);
    }
    ck_assert_uint_eq(tally_newest(tallies, 2), 0);
    tallies_free(tallies);
}
END_TEST

/* A connection that ended in between, or a coordinator that began again, has the commands said twice; a shard
 * that is slow answers both late, and may have gone on between them. */
START_TEST(each_shard_must_answer_what_was_said_last)
{
    struct tallies *tallies = two_holders();

    tally_hold(tallies, 1, 1);
    tally_hold(tallies, 1, 2); /* another incarnation, another job */
    tally_hold(tallies, 2, 1);
    held(tallies, 1, 0);
    held(tallies, 0, 4);
    tally_hold(tallies, 1, 1);
    ck_assert_int_eq(held(tallies, 1, 0), TALLY_WAITS);
    ck_assert_int_eq(held(tallies, 0, 4), TALLY_WAITS);
    ck_assert_int_eq(held(tallies, 2, 3), TALLY_WAITS);
    ck_assert_int_eq(held(tallies, 2, 5), TALLY_HELD);
    ck_assert_uint_eq(tally_newest(tallies, 1), 5);
    tally_extend(tallies, 1, 1);
    extended(tallies, 0, true, 5);
    extended(tallies, 1, true, 5);
    tally_extend(tallies, 1, 1);
    ck_assert_int_eq(extended(tallies, 0, true, 5), TALLY_WAITS);
    ck_assert_int_eq(extended(tallies, 1, true, 5), TALLY_WAITS);
    ck_assert_int_eq(extended(tallies, 2, true, 5), TALLY_WAITS);
    ck_assert_int_eq(extended(tallies, 2, true, 5), TALLY_EXTENDED);
    tallies_free(tallies);
}
END_TEST

/* The second shard holds nothing in generations up to the step that it was extended at. */
START_TEST(a_shard_that_was_empty_counts_from_its_first_step)
{
    struct tallies *tallies = two_holders();

    for (uint32_t shard = 0; shard < 3; shard++)
        extended(tallies, shard, true, 10);
    ck_assert_int_eq(committed(tallies, 0, 9), TALLY_WAITS);
    ck_assert_int_eq(committed(tallies, 2, 9), TALLY_COMMITTED);
    ck_assert_int_eq(committed(tallies, 0, 10), TALLY_WAITS);
    ck_assert_int_eq(committed(tallies, 1, 10), TALLY_WAITS); /* at once: there is nothing to write */
    ck_assert_int_eq(committed(tallies, 2, 10), TALLY_COMMITTED);
    tally_confirm(tallies, 1, 1, 10);
    ck_assert_int_eq(committed(tallies, 0, 12), TALLY_WAITS);
    ck_assert_int_eq(committed(tallies, 2, 12), TALLY_WAITS);
    ck_assert_int_eq(committed(tallies, 1, 12), TALLY_COMMITTED);
    tallies_free(tallies);
}
END_TEST

static enum tally_outcome copied(struct tallies *tallies, uint32_t shard, uint64_t step)
{
    struct shard_report report = {
        .kind = SHARD_COPIED, .shard = shard, .job = 1, .incarnation = 1, .holds_pieces = true, .step = step};

    return tally_report(tallies, &report);
}

/* Slots come in any order; what comes later may count from an earlier step. */
START_TEST(a_shard_counts_from_the_first_step_of_any_slot)
{
    struct tallies *tallies = two_holders();

    ck_assert_int_eq(copied(tallies, 1, 20), TALLY_COPIED);
    ck_assert_int_eq(copied(tallies, 1, 15), TALLY_COPIED);
    ck_assert_int_eq(copied(tallies, 1, 25), TALLY_COPIED);
    ck_assert_int_eq(copied(tallies, 2, 30), TALLY_COPIED); /* it has been there from the start */
    committed(tallies, 0, 15);
    ck_assert_int_eq(committed(tallies, 2, 15), TALLY_COMMITTED);
    committed(tallies, 0, 18);
    ck_assert_int_eq(committed(tallies, 2, 18), TALLY_WAITS);
    ck_assert_int_eq(committed(tallies, 1, 18), TALLY_COMMITTED);
    tallies_free(tallies);
}
END_TEST

/* ---- what stands */

struct standings {
    uint32_t count;
    struct tally_standing items[4];
};

static void collect(void *context, const struct tally_standing *standing)
{
    struct standings *standings = context;

    ck_assert_uint_lt(standings->count, 4);
    standings->items[standings->count++] = *standing;
}

/* What stands of the only job. */
static struct tally_standing standing_of(const struct tallies *tallies)
{
    struct standings standings = {.count = 0};

    tally_visit(tallies, collect, &standings);
    ck_assert_uint_eq(standings.count, 1);
    return standings.items[0];
}

START_TEST(what_stands_can_be_told_again)
{
    struct tallies *tallies = tallies_new(2);
    struct tally_standing standing;

    ck_assert_int_eq(tally_begin(tallies, 1, 1, 10, 2), CAIRN_OK);
    prepared(tallies, 0, true, 1);
    standing = standing_of(tallies);
    ck_assert_uint_eq(standing.job, 1);
    ck_assert_uint_eq(standing.incarnation, 1);
    ck_assert(!standing.is_prepared);
    prepared(tallies, 1, true, 1);
    standing = standing_of(tallies);
    ck_assert(standing.is_prepared);
    ck_assert_uint_eq(standing.durable_step, 10);
    committed(tallies, 0, 15);
    ck_assert_uint_eq(standing_of(tallies).durable_step, 10);
    committed(tallies, 1, 15);
    ck_assert_uint_eq(standing_of(tallies).durable_step, 15);
    tally_confirm(tallies, 1, 2, 30); /* of another incarnation */
    tally_confirm(tallies, 1, 1, 15);
    tally_confirm(tallies, 1, 1, 10);
    committed(tallies, 1, 20);
    ck_assert_uint_eq(standing_of(tallies).durable_step, 15);
    tallies_free(tallies);
}
END_TEST

/* A shard that has a later generation need not have this one. */
START_TEST(later_generations_are_others)
{
    struct tallies *tallies = two_holders();

    ck_assert_int_eq(committed(tallies, 0, 10), TALLY_WAITS);
    ck_assert_int_eq(committed(tallies, 2, 15), TALLY_WAITS);
    ck_assert_uint_eq(standing_of(tallies).durable_step, 0);
    ck_assert_int_eq(committed(tallies, 0, 15), TALLY_COMMITTED);
    tallies_free(tallies);
}
END_TEST

/* A shard waits for a generation to be the job's that another has dropped for a later one. */
START_TEST(a_generation_that_was_passed_over_is_taken_back)
{
    struct tallies *tallies = two_holders();
    uint64_t step;

    tally_confirm(tallies, 1, 1, 5);
    ck_assert_int_eq(committed(tallies, 0, 10), TALLY_WAITS);
    ck_assert(!tally_takes_back(tallies, 1, 0, &step)); /* the other may be writing it */
    ck_assert_int_eq(committed(tallies, 2, 15), TALLY_WAITS);
    ck_assert(!tally_takes_back(tallies, 1, 2, &step));
    ck_assert(!tally_takes_back(tallies, 1, 1, &step));
    ck_assert(tally_takes_back(tallies, 1, 0, &step));
    ck_assert_uint_eq(step, 10);
    ck_assert(!tally_takes_back(tallies, 1, 0, &step)); /* told once */
    ck_assert_uint_eq(standing_of(tallies).durable_step, 5);
    ck_assert_int_eq(committed(tallies, 0, 15), TALLY_COMMITTED);
    ck_assert(!tally_takes_back(tallies, 1, 0, &step) && !tally_takes_back(tallies, 1, 2, &step));
    tally_confirm(tallies, 1, 1, 15);
    ck_assert_int_eq(committed(tallies, 2, 20), TALLY_WAITS);
    ck_assert(!tally_takes_back(tallies, 1, 0, &step)); /* 15 is the job's */
    ck_assert(!tally_takes_back(tallies, 7, 0, &step));
    tallies_free(tallies);
}
END_TEST

static enum tally_outcome passed(struct tallies *tallies, uint32_t shard, uint64_t after, uint64_t step)
{
    struct shard_report report = {
        .kind = SHARD_PASSED, .shard = shard, .job = 1, .incarnation = 1, .after = after, .step = step};

    return tally_report(tallies, &report);
}

/* As above, before the other has a later one. */
START_TEST(a_shard_that_says_what_it_passed_over_is_believed)
{
    struct tallies *tallies = two_holders();
    uint64_t step;

    ck_assert_uint_eq(standing_of(tallies).passed_step, 0);
    ck_assert_int_eq(committed(tallies, 0, 10), TALLY_WAITS);
    ck_assert_int_eq(passed(tallies, 2, 10, 20), TALLY_PASSED);
    ck_assert(!tally_takes_back(tallies, 1, 0, &step)); /* it may still make 10 */
    ck_assert_int_eq(passed(tallies, 2, 5, 25), TALLY_PASSED);
    ck_assert(tally_takes_back(tallies, 1, 0, &step));
    ck_assert_uint_eq(step, 10);
    ck_assert_int_eq(passed(tallies, 0, 3, 15), TALLY_PASSED);
    ck_assert_uint_eq(standing_of(tallies).passed_after, 3);
    ck_assert_uint_eq(standing_of(tallies).passed_step, 25);
    tally_confirm(tallies, 1, 1, 25);
    ck_assert_uint_eq(standing_of(tallies).passed_step, 0); /* it is behind the job */
    tallies_free(tallies);
}
END_TEST

/* A shard that has nothing in a generation has not passed it over. */
START_TEST(an_empty_shard_passes_nothing_over)
{
    struct tallies *tallies = two_holders();
    uint64_t step;

    extended(tallies, 0, true, 12);
    extended(tallies, 1, true, 12);
    extended(tallies, 2, true, 12);
    ck_assert_int_eq(committed(tallies, 0, 10), TALLY_WAITS);
    ck_assert_int_eq(committed(tallies, 2, 10), TALLY_COMMITTED);
    ck_assert_int_eq(committed(tallies, 1, 15), TALLY_WAITS);
    ck_assert(!tally_takes_back(tallies, 1, 0, &step) && !tally_takes_back(tallies, 1, 2, &step));
    tallies_free(tallies);
}
END_TEST

/* A shard that does not count in a generation may have pieces of it all the same, and may drop them. */
START_TEST(what_was_told_is_not_taken_back)
{
    struct tallies *tallies = two_holders();
    uint64_t step;

    copied(tallies, 1, 20);
    ck_assert_int_eq(committed(tallies, 0, 20), TALLY_WAITS);
    ck_assert_int_eq(passed(tallies, 1, 10, 20), TALLY_PASSED);
    ck_assert(!tally_takes_back(tallies, 1, 0, &step)); /* the one that counts will make it */
    ck_assert_int_eq(committed(tallies, 2, 20), TALLY_COMMITTED);
    copied(tallies, 1, 15);
    ck_assert_int_eq(passed(tallies, 1, 10, 25), TALLY_PASSED);
    ck_assert_int_eq(committed(tallies, 1, 30), TALLY_WAITS);
    ck_assert(!tally_takes_back(tallies, 1, 0, &step) && !tally_takes_back(tallies, 1, 2, &step));
    tallies_free(tallies);
}
END_TEST

/* A slot may come with an older version than others have made a generation of: that was told without it, and
 * nobody would find the slot in it. */
START_TEST(what_was_decided_is_without_what_is_copied_later)
{
    struct tallies *tallies = two_holders();

    ck_assert_uint_eq(tally_counts_from(tallies, 1, 15), 15);
    committed(tallies, 0, 20);
    ck_assert_int_eq(committed(tallies, 2, 20), TALLY_COMMITTED);
    ck_assert_uint_eq(tally_counts_from(tallies, 1, 15), 20);
    ck_assert_uint_eq(tally_counts_from(tallies, 1, 25), 25);
    ck_assert_uint_eq(tally_counts_from(tallies, 2, 15), 15); /* no such job */
    copied(tallies, 1, 15);
    ck_assert_uint_eq(standing_of(tallies).durable_step, 20);
    tally_forgo(tallies, 1, 1, 20); /* told to write over it */
    ck_assert_uint_eq(tally_counts_from(tallies, 1, 15), 20);
    tally_confirm(tallies, 1, 1, 30);
    ck_assert_uint_eq(tally_counts_from(tallies, 1, 15), 30);
    committed(tallies, 0, 40);
    ck_assert_int_eq(committed(tallies, 2, 40), TALLY_WAITS);
    ck_assert_int_eq(committed(tallies, 1, 40), TALLY_COMMITTED);
    tallies_free(tallies);
}
END_TEST

/* It has made no generation, and will make none, as its chunks have gone to another server. */
START_TEST(a_shard_that_gives_up_its_pieces_is_not_waited_for)
{
    struct tallies *tallies = two_holders();
    struct shard_report mapped = {.kind = SHARD_MAPPED, .shard = 2, .job = 1, .incarnation = 1, .map = 1};
    uint64_t step = 0;

    ck_assert_int_eq(committed(tallies, 0, 10), TALLY_WAITS);
    ck_assert(!tally_is_whole(tallies, 1, &step));
    tally_report(tallies, &mapped);
    ck_assert(tally_is_whole(tallies, 1, &step));
    ck_assert_uint_eq(step, 10);
    ck_assert(!tally_is_whole(tallies, 1, &step)); /* that was told */
    ck_assert_int_eq(committed(tallies, 0, 15), TALLY_COMMITTED);
    ck_assert(!tally_is_whole(tallies, 1, &step));
    ck_assert(!tally_is_whole(tallies, 2, &step)); /* no such job */
    tallies_free(tallies);
}
END_TEST

START_TEST(what_another_server_passed_over_stands_no_more)
{
    struct tallies *tallies = two_holders();

    committed(tallies, 0, 10);
    committed(tallies, 2, 10);
    ck_assert_uint_eq(standing_of(tallies).durable_step, 10);
    tally_forgo(tallies, 1, 2, 10); /* of another incarnation, another step, another job */
    tally_forgo(tallies, 1, 1, 5);
    tally_forgo(tallies, 2, 1, 10);
    ck_assert_uint_eq(standing_of(tallies).durable_step, 10);
    tally_forgo(tallies, 1, 1, 10);
    ck_assert_uint_eq(standing_of(tallies).durable_step, 0);
    committed(tallies, 0, 15);
    ck_assert_int_eq(committed(tallies, 2, 15), TALLY_COMMITTED);
    tallies_free(tallies);
}
END_TEST

/* A shard that did not count in it may still be writing it, or not have begun: it would wait for ever. */
START_TEST(what_was_forgone_is_taken_back_from_who_makes_it_later)
{
    struct tallies *tallies = two_holders();
    uint64_t step;

    copied(tallies, 1, 25);
    for (uint64_t made = 20; made <= 25; made += 5) {
        committed(tallies, 0, made);
        ck_assert_int_eq(committed(tallies, 2, made), TALLY_COMMITTED);
        tally_forgo(tallies, 1, 1, made);
        ck_assert(!tally_takes_back(tallies, 1, 1, &step)); /* it has not made it yet */
        ck_assert_int_eq(committed(tallies, 1, 20), TALLY_WAITS);
        ck_assert(!tally_takes_back(tallies, 1, 0, &step) && !tally_takes_back(tallies, 1, 2, &step));
        ck_assert(tally_takes_back(tallies, 1, 1, &step));
        ck_assert_uint_eq(step, 20);
        ck_assert(!tally_takes_back(tallies, 1, 1, &step)); /* told once */
        ck_assert_uint_eq(standing_of(tallies).durable_step, 0);
    }
    for (uint32_t shard = 0; shard < 2; shard++)
        ck_assert_int_eq(committed(tallies, shard, 30), TALLY_WAITS);
    ck_assert_int_eq(committed(tallies, 2, 30), TALLY_COMMITTED);
    tally_confirm(tallies, 1, 1, 30);
    tally_forgo(tallies, 1, 1, 40);
    ck_assert_int_eq(committed(tallies, 1, 40), TALLY_WAITS);
    ck_assert(tally_takes_back(tallies, 1, 1, &step));
    ck_assert_int_eq(committed(tallies, 1, 30), TALLY_COMMITTED); /* said again */
    tally_confirm(tallies, 1, 1, 40);                             /* of which the others had nothing */
    tally_forgo(tallies, 1, 1, 40);
    ck_assert_int_eq(committed(tallies, 1, 40), TALLY_COMMITTED);
    ck_assert(!tally_takes_back(tallies, 1, 1, &step));
    tallies_free(tallies);
}
END_TEST

START_TEST(nothing_stands_of_what_failed)
{
    struct standings standings = {.count = 0};
    struct tallies *tallies = tallies_new(1);

    for (uint64_t job = 1; job <= 3; job++)
        ck_assert_int_eq(tally_begin(tallies, job, 4, 0, 1), CAIRN_OK);
    tally_end(tallies, 2, 4);
    tally_report(tallies, &(struct shard_report){.kind = SHARD_FAILED, .job = 3, .incarnation = 4});
    tally_visit(tallies, collect, &standings);
    ck_assert_uint_eq(standings.count, 1);
    ck_assert_uint_eq(standings.items[0].job, 1);
    tallies_free(tallies);
}
END_TEST

static Suite *tally_suite(void)
{
    Suite *suite = suite_create("tally");
    TCase *tests = tcase_create("tally");

    tcase_add_test(tests, all_shards_must_be_prepared);
    tcase_add_test(tests, all_shards_with_weights_must_have_a_generation);
    tcase_add_test(tests, a_commit_is_refused_when_all_refuse);
    tcase_add_loop_test(tests, a_server_of_two_minds_forgoes_a_generation, 0, 2);
    tcase_add_test(tests, a_failure_is_told_once);
    tcase_add_test(tests, jobs_end_and_begin_again);
    tcase_add_test(tests, all_shards_must_be_held_and_extended);
    tcase_add_test(tests, each_shard_must_answer_what_was_said_last);
    tcase_add_test(tests, a_shard_that_was_empty_counts_from_its_first_step);
    tcase_add_test(tests, a_shard_counts_from_the_first_step_of_any_slot);
    tcase_add_test(tests, what_stands_can_be_told_again);
    tcase_add_test(tests, later_generations_are_others);
    tcase_add_test(tests, a_generation_that_was_passed_over_is_taken_back);
    tcase_add_test(tests, a_shard_that_says_what_it_passed_over_is_believed);
    tcase_add_test(tests, an_empty_shard_passes_nothing_over);
    tcase_add_test(tests, what_was_told_is_not_taken_back);
    tcase_add_test(tests, what_was_decided_is_without_what_is_copied_later);
    tcase_add_test(tests, a_shard_that_gives_up_its_pieces_is_not_waited_for);
    tcase_add_test(tests, what_another_server_passed_over_stands_no_more);
    tcase_add_test(tests, what_was_forgone_is_taken_back_from_who_makes_it_later);
    tcase_add_test(tests, nothing_stands_of_what_failed);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(tally_suite)

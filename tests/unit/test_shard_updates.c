/* The throughput modes on shards: each update once, whatever comes twice, late or not at all; nobody ahead of
 * the bound; and random schedules of all that may happen. */
#include "check_main.h"
#include "shard_fixture.h"

#define PLAYS RANDOM_CASES(50)

/* Ends in the middle of the fixture's line. */
#define RIG_ASYNC   "sgd: {learning_rate: 0.25}}, mode: async, codec: {float32: {}"
#define RIG_DAMPED  "sgd: {learning_rate: 0.25}}, mode: async, staleness_damping: true, codec: {float32: {}"
#define RIG_SSP     "sgd: {learning_rate: 0.25}}, mode: ssp, staleness: 2, codec: {float32: {}"
#define STALENESS   2
#define UPDATE      0.015625f /* what one of push() takes off a weight: 0.25 times 1/16 */
#define NUMBERS_MAX 64
#define CHUNKS_MAX  16

static struct roster *roster(uint64_t number, const struct clock_start *workers, uint32_t count)
{
    struct roster *made = malloc(sizeof(*made) + count * sizeof(workers[0]));

    ck_assert_ptr_nonnull(made);
    made->number = number;
    made->count = count;
    for (uint32_t i = 0; i < count; i++)
        made->workers[i] = workers[i];
    return made;
}

static void tell_epoch(struct rig *rig, uint64_t incarnation, uint64_t number,
                       const struct clock_start *workers, uint32_t count)
{
    struct roster *told = roster(number, workers, count);

    for (uint32_t i = 0; i < RIG_SHARDS; i++)
        shard_begin_epoch(rig->shards[i], RIG_JOB, incarnation, told);
    free(told);
}

/* A push of a worker by itself: every gradient is 1/16, summed over the samples. */
static void push(struct rig *rig, const char *client, uint64_t incarnation, uint64_t worker, uint64_t step,
                 uint32_t chunk)
{
    struct data_header header = rig_header(DATA_PUSH, incarnation, TABLE_WEIGHTS, step);
    struct buffer *payload = rig_node_buffer(rig, step, rig_whole, chunk);
    float *values = payload->data;

    header.node = rig_whole;
    header.samples = 8;
    header.worker = worker;
    header.subscribe = header.acknowledge = true;
    for (size_t i = 0; i < payload->length_bytes / sizeof(float); i++)
        values[i] = 0.5f;
    rig_add_chunk(rig, &header, chunk);
    rig_send(rig, rig_owner(rig, TABLE_WEIGHTS, chunk), client, &header, &payload);
}

static void ask(struct rig *rig, uint64_t incarnation, uint64_t worker, uint32_t chunk)
{
    struct data_header header = rig_header(DATA_PULL, incarnation, TABLE_WEIGHTS, 0);

    header.worker = worker;
    header.newest = header.acknowledge = true;
    rig_add_chunk(rig, &header, chunk);
    rig_send(rig, rig_owner(rig, TABLE_WEIGHTS, chunk), "judge", &header, NULL);
}

/* The step that the only reply tells of. */
static uint64_t told(struct rig *rig)
{
    uint64_t step = rig->replies[0].header.step;

    ck_assert_uint_eq(rig->reply_count, 1);
    ck_assert_msg(rig->replies[0].header.kind == DATA_APPLIED, "%s", rig->replies[0].header.message);
    rig_forget_replies(rig);
    return step;
}

static uint64_t version_of(struct rig *rig, uint64_t incarnation, uint32_t chunk)
{
    rig_forget_replies(rig);
    ask(rig, incarnation, 0, chunk);
    return told(rig);
}

/* How far the first weight of a chunk is from its initial value, in updates. */
static float updates_in(struct rig *rig, uint64_t incarnation, uint32_t chunk)
{
    struct data_header header = rig_header(DATA_PULL, incarnation, TABLE_WEIGHTS, 0);
    uint64_t begin, end;
    float initial, now;

    rig_forget_replies(rig);
    graph_chunk(rig->job->graph, chunk, &begin, &end);
    graph_initial_values(rig->job->graph, rig->job->seed, begin, begin + 1, &initial);
    header.newest = true;
    rig_add_chunk(rig, &header, chunk);
    rig_send(rig, rig_owner(rig, TABLE_WEIGHTS, chunk), "judge", &header, NULL);
    ck_assert_uint_eq(rig->reply_count, 1);
    ck_assert_int_eq(rig->replies[0].header.kind, DATA_VALUES);
    now = *(const float *)rig->replies[0].payloads[0]->data;
    rig_forget_replies(rig);
    return (initial - now) / UPDATE;
}

/* Replies of a kind to a client; *step: of the last. */
static size_t count_replies(const struct rig *rig, enum data_kind kind, const char *client, uint64_t *step)
{
    size_t count = 0;

    for (size_t i = 0; i < rig->reply_count; i++) {
        if (rig->replies[i].header.kind != kind || strcmp(rig->replies[i].client, client) != 0)
            continue;
        count++;
        *step = rig->replies[i].header.step;
    }
    return count;
}

START_TEST(a_push_is_applied_at_once_and_once)
{
    const struct clock_start workers[] = {{1, 0}, {2, 3}};
    struct rig *rig = rig_begin(RIG_ASYNC, 100);
    uint64_t step = 0;

    tell_epoch(rig, 1, 1, workers, 2);
    push(rig, "one", 1, 1, 0, 0);
    ck_assert_uint_eq(count_replies(rig, DATA_VALUES, "one", &step), 1);
    ck_assert_uint_eq(step, 1); /* the worker's own step, whatever the chunk's version */
    push(rig, "two", 1, 2, 3, 0);
    ck_assert_uint_eq(count_replies(rig, DATA_VALUES, "two", &step), 1);
    ck_assert_uint_eq(step, 4);
    ck_assert_uint_eq(version_of(rig, 1, 0), 2);
    push(rig, "one", 1, 1, 0, 0); /* again: dropped, and answered */
    ck_assert_uint_eq(count_replies(rig, DATA_VALUES, "one", &step), 1);
    ck_assert_uint_eq(count_replies(rig, DATA_APPLIED, "one", &step), 1);
    ck_assert_uint_eq(version_of(rig, 1, 0), 2);
    ck_assert_float_eq_tol(updates_in(rig, 1, 0), 2, 0.01f);
    push(rig, "one", 1, 1, 2, 0); /* one is missing between */
    rig_expect_refusal(rig, DATA_REFUSED_LOST);
    ck_assert_uint_eq(version_of(rig, 1, 0), 2);
    ask(rig, 1, 2, 0);
    ck_assert_uint_eq(told(rig), 4);
    rig_free(rig);
}
END_TEST

START_TEST(strangers_are_fenced)
{
    const struct clock_start workers[] = {{1, 0}, {2, 0}, {3, 5}};
    struct rig *rig = rig_begin(RIG_ASYNC, 100);

    push(rig, "one", 1, 1, 0, 0); /* no epoch yet */
    rig_expect_refusal(rig, DATA_REFUSED_PASSED);
    tell_epoch(rig, 1, 4, workers, 2);
    push(rig, "one", 1, 1, 0, 0);
    rig_forget_replies(rig);
    tell_epoch(rig, 1, 5, workers + 1, 2);
    tell_epoch(rig, 1, 4, workers, 2); /* late: it is over */
    push(rig, "one", 1, 1, 1, 0);
    rig_expect_refusal(rig, DATA_REFUSED_PASSED);
    ask(rig, 1, 1, 0);
    rig_expect_refusal(rig, DATA_REFUSED_PASSED);
    push(rig, "none", 1, 0, 0, 0);
    rig_expect_refusal(rig, DATA_REFUSED_PASSED);
    push(rig, "two", 2, 2, 0, 0);
    rig_expect_refusal(rig, DATA_REFUSED_STALE);
    ask(rig, 1, 3, 0);
    ck_assert_uint_eq(told(rig), 5);
    ck_assert_uint_eq(version_of(rig, 1, 0), 1);
    rig_free(rig);
}
END_TEST

START_TEST(nobody_is_given_weights_that_are_ahead_of_the_bound)
{
    const struct clock_start workers[] = {{1, 0}, {2, 0}};
    struct rig *rig = rig_begin(RIG_SSP, 100);
    uint64_t step = 0;

    tell_epoch(rig, 1, 1, workers, 2);
    for (uint64_t i = 0; i < STALENESS; i++)
        push(rig, "one", 1, 1, i, 0);
    ck_assert_uint_eq(count_replies(rig, DATA_VALUES, "one", &step), STALENESS);
    rig_forget_replies(rig);
    push(rig, "one", 1, 1, STALENESS, 0); /* applied, but it is not to go on */
    ck_assert_uint_eq(count_replies(rig, DATA_APPLIED, "one", &step), 1);
    ck_assert_uint_eq(count_replies(rig, DATA_VALUES, "one", &step), 0);
    rig_forget_replies(rig);
    rig_pull(rig, "late", 1, STALENESS + 1, 0, false); /* of nobody */
    rig_expect_refusal(rig, DATA_REFUSED_PASSED);
    push(rig, "two", 1, 2, 0, 0);
    ck_assert_uint_eq(count_replies(rig, DATA_VALUES, "one", &step), 1);
    ck_assert_uint_eq(step, STALENESS + 1);
    rig_free(rig);
}
END_TEST

START_TEST(a_death_releases_those_who_wait)
{
    const struct clock_start workers[] = {{1, 0}, {2, 0}};
    struct rig *rig = rig_begin(RIG_SSP, 100);
    uint64_t step = 0;

    tell_epoch(rig, 1, 1, workers, 2);
    for (uint64_t i = 0; i <= STALENESS; i++)
        push(rig, "one", 1, 1, i, 0);
    rig_forget_replies(rig);
    tell_epoch(rig, 1, 2, workers, 1);
    ck_assert_uint_eq(count_replies(rig, DATA_VALUES, "one", &step), 1);
    ck_assert_uint_eq(step, STALENESS + 1);
    rig_free(rig);
}
END_TEST

START_TEST(old_gradients_count_less)
{
    const struct clock_start workers[] = {{1, 0}, {2, 0}};
    struct rig *rig = rig_begin(RIG_DAMPED, 100);

    tell_epoch(rig, 1, 1, workers, 2);
    push(rig, "one", 1, 1, 0, 0);
    push(rig, "two", 1, 2, 0, 0); /* never given weights by this shard: not known to be old */
    ck_assert_float_eq_tol(updates_in(rig, 1, 0), 2, 0.01f);
    for (uint64_t i = 1; i < 4; i++)
        push(rig, "one", 1, 1, i, 0);
    ck_assert_float_eq_tol(updates_in(rig, 1, 0), 5, 0.01f);
    push(rig, "two", 1, 2, 1, 0); /* three came since it was answered */
    ck_assert_float_eq_tol(updates_in(rig, 1, 0), 5 + 1.0f / 3, 0.01f);
    rig_free(rig);
}
END_TEST

START_TEST(no_samples_change_nothing_and_count)
{
    const struct clock_start workers[] = {{1, 0}};
    struct rig *rig = rig_begin(RIG_ASYNC, 100);
    struct data_header header = rig_header(DATA_PUSH, 1, TABLE_WEIGHTS, 0);
    struct buffer *payload = rig_node_buffer(rig, 0, rig_whole, 0);

    tell_epoch(rig, 1, 1, workers, 1);
    header.node = rig_whole;
    header.worker = 1;
    rig_add_chunk(rig, &header, 0);
    rig_send(rig, rig_owner(rig, TABLE_WEIGHTS, 0), "one", &header, &payload);
    ck_assert_uint_eq(version_of(rig, 1, 0), 1);
    ck_assert_float_eq_tol(updates_in(rig, 1, 0), 0, 0.001f);
    rig_free(rig);
}
END_TEST

/* ---- random schedules */

/* What shards must have of each worker, and of what was made durable. */
struct model {
    uint64_t next[CHUNKS_MAX][NUMBERS_MAX], first[NUMBERS_MAX];
};

struct hand { /* a worker */
    uint64_t number, step;
    bool is_given[CHUNKS_MAX], is_applied[CHUNKS_MAX];
};

#define HANDS_MAX 4

struct play {
    struct rig *rig;
    unsigned chance;
    uint64_t incarnation, epoch, newest_number, tag;
    struct hand hands[HANDS_MAX];
    uint32_t hand_count;
    struct roster *late[RIG_SHARDS]; /* an epoch that a shard has not been told yet */
    uint64_t live[RIG_SHARDS];       /* bits of the numbers that it knows as live */
    struct model model, committed;
};

static uint32_t chance(struct play *play, uint32_t below)
{
    play->chance = play->chance * 1103515245u + 12345u;
    return (play->chance >> 8) % below;
}

static uint32_t chunk_count(const struct play *play)
{
    return play->rig->job->graph->chunk_count;
}

static void deliver_epoch(struct play *play, uint32_t shard)
{
    struct roster *late = play->late[shard];

    if (!late)
        return;
    play->live[shard] = 0;
    for (uint32_t i = 0; i < late->count; i++) {
        uint64_t number = late->workers[i].worker;

        play->live[shard] |= UINT64_C(1) << number;
        for (uint32_t chunk = 0; chunk < chunk_count(play); chunk++) {
            uint64_t *next = &play->model.next[chunk][number];

            if (rig_owner(play->rig, TABLE_WEIGHTS, chunk) == shard && *next == UINT64_MAX)
                *next = late->workers[i].step;
        }
    }
    shard_begin_epoch(play->rig->shards[shard], RIG_JOB, play->incarnation, late);
    free(late);
    play->late[shard] = NULL;
}

/* All hands in an epoch, of which shards hear one by one. */
static void make_epoch(struct play *play)
{
    struct clock_start starts[HANDS_MAX];

    for (uint32_t i = 0; i < play->hand_count; i++)
        starts[i] = (struct clock_start){play->hands[i].number, play->model.first[play->hands[i].number]};
    play->epoch++;
    for (uint32_t i = 0; i < RIG_SHARDS; i++) {
        free(play->late[i]);
        play->late[i] = roster(play->epoch, starts, play->hand_count);
    }
}

static void join(struct play *play)
{
    uint64_t step = 0;

    if (play->hand_count == HANDS_MAX || play->newest_number + 1 == NUMBERS_MAX)
        return;
    for (uint32_t i = 0; i < play->hand_count; i++)
        step = play->hands[i].step > step ? play->hands[i].step : step;
    play->newest_number++;
    play->model.first[play->newest_number] = step;
    play->hands[play->hand_count++] = (struct hand){.number = play->newest_number, .step = step};
}

static void leave(struct play *play)
{
    uint32_t who = chance(play, play->hand_count);

    if (play->hand_count == 1)
        return;
    play->hands[who] = play->hands[--play->hand_count];
}

/* A worker's connections broke: it asks anew where it is. */
static void synchronise(struct play *play, struct hand *hand)
{
    uint64_t least = UINT64_MAX;

    for (uint32_t chunk = 0; chunk < chunk_count(play); chunk++) {
        uint64_t next;

        deliver_epoch(play, rig_owner(play->rig, TABLE_WEIGHTS, chunk));
        rig_forget_replies(play->rig);
        ask(play->rig, play->incarnation, hand->number, chunk);
        next = told(play->rig);
        ck_assert_uint_eq(next, play->model.next[chunk][hand->number]);
        least = next < least ? next : least;
    }
    hand->step = least;
    memset(hand->is_given, 0, sizeof(hand->is_given));
    memset(hand->is_applied, 0, sizeof(hand->is_applied));
}

static struct hand *hand_of(struct play *play, const char *client)
{
    for (uint32_t i = 0; i < play->hand_count; i++) {
        if (play->hands[i].number == strtoul(client, NULL, 10))
            return &play->hands[i];
    }
    return NULL;
}

/* Whoever is given weights to go on to a step is within the bound of all that the shard knows as live. */
static void check_bound(const struct play *play, uint32_t shard, uint32_t chunk, uint64_t step)
{
    for (uint64_t number = 1; number <= play->newest_number; number++) {
        if (play->live[shard] >> number & 1)
            ck_assert_uint_ge(play->model.next[chunk][number] + STALENESS, step);
    }
}

static void take_replies(struct play *play)
{
    for (size_t i = 0; i < play->rig->reply_count; i++) {
        const struct rig_reply *reply = &play->rig->replies[i];
        struct hand *hand = hand_of(play, reply->client);
        bool is_values = reply->header.kind == DATA_VALUES;

        for (uint32_t j = 0; j < reply->header.payload_count; j++) {
            uint32_t chunk = reply->header.payloads[j].chunk;

            if (is_values)
                check_bound(play, reply->shard, chunk, reply->header.step);
            if (hand && reply->header.step == hand->step + 1)
                *(is_values ? &hand->is_given[chunk] : &hand->is_applied[chunk]) = true;
        }
    }
    rig_forget_replies(play->rig);
}

static bool is_done(const struct play *play, const struct hand *hand)
{
    for (uint32_t chunk = 0; chunk < chunk_count(play); chunk++) {
        if (!hand->is_given[chunk] || !hand->is_applied[chunk])
            return false;
    }
    return true;
}

/* A worker pushes a chunk of its step, perhaps once more than needed. */
static void work(struct play *play, struct hand *hand)
{
    uint32_t chunk = chance(play, chunk_count(play));
    uint32_t shard = rig_owner(play->rig, TABLE_WEIGHTS, chunk);
    uint64_t *next = &play->model.next[chunk][hand->number];
    char name[16];

    snprintf(name, sizeof(name), "%u", (unsigned)hand->number);
    if (play->live[shard] >> hand->number & 1 && *next == hand->step)
        ++*next;
    push(play->rig, name, play->incarnation, hand->number, hand->step, chunk);
    take_replies(play);
    if (!is_done(play, hand))
        return;
    hand->step++;
    memset(hand->is_given, 0, sizeof(hand->is_given));
    memset(hand->is_applied, 0, sizeof(hand->is_applied));
}

/* All shards write what they have, at different moments of the play. */
static void commit(struct play *play)
{
    struct rig *rig = play->rig;

    play->tag++;
    for (uint32_t i = 0; i < RIG_SHARDS; i++) {
        shard_commit(rig->shards[i], RIG_JOB, play->incarnation, play->tag);
        for (uint32_t chunk = 0; chunk < chunk_count(play); chunk++) {
            if (rig_owner(rig, TABLE_WEIGHTS, chunk) == i)
                memcpy(play->committed.next[chunk], play->model.next[chunk], sizeof(play->model.next[chunk]));
        }
        work(play, &play->hands[chance(play, play->hand_count)]);
    }
    rig_commit(rig, play->incarnation, play->tag);
}

/* Everything that is not durable is lost; the workers go on under new numbers. */
static void crash(struct play *play)
{
    struct rig *rig = play->rig;
    uint32_t hands = play->hand_count;

    rig_stop_shards(rig);
    rig_forget_replies(rig);
    rig_start_shards(rig);
    rig_prepare(rig, ++play->incarnation, play->tag);
    memcpy(play->model.next, play->committed.next, sizeof(play->model.next));
    memset(play->live, 0, sizeof(play->live));
    play->hand_count = 0;
    for (uint32_t i = 0; i < hands; i++)
        join(play);
    make_epoch(play);
}

static void check_all(struct play *play)
{
    for (uint32_t chunk = 0; chunk < chunk_count(play); chunk++) {
        uint64_t total = 0;

        for (uint64_t number = 1; number <= play->newest_number; number++) {
            if (play->model.next[chunk][number] != UINT64_MAX)
                total += play->model.next[chunk][number] - play->model.first[number];
        }
        ck_assert_uint_eq(version_of(play->rig, play->incarnation, chunk), total);
        ck_assert_float_eq_tol(updates_in(play->rig, play->incarnation, chunk), (float)total, 0.05f);
    }
}

static void happen(struct play *play)
{
    uint32_t what = chance(play, 400);

    if (what < 4) {
        join(play);
        make_epoch(play);
    } else if (what < 8) {
        leave(play);
        make_epoch(play);
    } else if (what < 12) {
        synchronise(play, &play->hands[chance(play, play->hand_count)]);
    } else if (what < 14) {
        commit(play);
    } else if (what < 15) {
        crash(play);
    } else if (what < 60) {
        deliver_epoch(play, chance(play, RIG_SHARDS));
    } else {
        work(play, &play->hands[chance(play, play->hand_count)]);
    }
}

/* Nothing holds anybody up for ever: the slowest goes on, so all do. */
static void check_progress(struct play *play)
{
    uint64_t goal = 0;

    for (uint32_t i = 0; i < RIG_SHARDS; i++)
        deliver_epoch(play, i);
    take_replies(play);
    for (uint32_t i = 0; i < play->hand_count; i++)
        goal = play->hands[i].step > goal ? play->hands[i].step : goal;
    for (uint32_t i = 0, turns = 0; i < play->hand_count; turns++) {
        ck_assert_uint_lt(turns, 100000);
        work(play, &play->hands[chance(play, play->hand_count)]);
        i += play->hands[i].step > goal;
    }
}

START_TEST(no_update_is_lost_or_doubled)
{
    struct play *play = calloc(1, sizeof(*play));

    ck_assert_ptr_nonnull(play);
    play->rig = rig_begin(RIG_SSP, 100);
    ck_assert_uint_le(chunk_count(play), CHUNKS_MAX);
    play->chance = (unsigned)_i + 1;
    play->incarnation = 1;
    memset(play->model.next, 0xff, sizeof(play->model.next));
    memset(play->committed.next, 0xff, sizeof(play->committed.next));
    join(play);
    join(play);
    make_epoch(play);
    for (uint32_t i = 0; i < RIG_SHARDS; i++)
        deliver_epoch(play, i);
    commit(play);
    for (int i = 0; i < 600; i++)
        happen(play);
    check_progress(play);
    check_all(play);
    for (uint32_t i = 0; i < RIG_SHARDS; i++)
        free(play->late[i]);
    rig_free(play->rig);
    free(play);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("shard_updates");
    TCase *rules = tcase_create("rules"), *plays = tcase_create("plays");

    tcase_add_test(rules, a_push_is_applied_at_once_and_once);
    tcase_add_test(rules, strangers_are_fenced);
    tcase_add_test(rules, nobody_is_given_weights_that_are_ahead_of_the_bound);
    tcase_add_test(rules, a_death_releases_those_who_wait);
    tcase_add_test(rules, old_gradients_count_less);
    tcase_add_test(rules, no_samples_change_nothing_and_count);
    tcase_set_timeout(plays, 60);
    tcase_add_loop_test(plays, no_update_is_lost_or_doubled, 0, PLAYS);
    suite_add_tcase(suite, rules);
    suite_add_tcase(suite, plays);
    return suite;
}

CHECK_MAIN(make_suite)

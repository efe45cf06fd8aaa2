/* The shard's rules for sparse tables, without sockets: the plain table's bits on any number of shards and
 * from any number of workers, over a network that loses, doubles and reorders; an answer for every message.
 */
#include "check_main.h"
#include "rows_rig.h"
#include "shard_state.h"

#define MICROBATCHES 5
#define PLAIN_SGD    "optimizer: {sgd: {learning_rate: 0.1}}"
#define SOME_ADAM    "admit_after: 2, expire_after: 7, optimizer: adam"

static const struct tree_node whole = {0, MICROBATCHES}, first_half = {0, 2}, second_half = {2, 5};

/* ---- the same bits */

/* A step by `workers`, each with its span, in any order of shards and workers. */
static void push_step(struct rows_rig *rig, struct chance *chance, uint32_t workers, uint64_t step)
{
    struct rows_push pushes[ROWS_RIG_SHARDS_MAX * MICROBATCHES * 2];
    uint32_t count = 0;

    for (uint32_t worker = 0; worker < workers; worker++) {
        struct tree_node nodes[TREE_COVER_MAX];
        uint32_t begin, end, covers;

        placement_span(MICROBATCHES, workers, worker, &begin, &end);
        covers = tree_cover(MICROBATCHES, begin, end, nodes);
        for (uint32_t i = 0; i < covers * rig->shard_count; i++)
            pushes[count++] = (struct rows_push){
                .shard = i % rig->shard_count, .step = step, .node = nodes[i / rig->shard_count]};
    }
    while (count > 0) {
        uint32_t chosen = draw(chance, count);

        rows_push(rig, "worker", &pushes[chosen]);
        pushes[chosen] = pushes[--count];
    }
}

START_TEST(neither_shards_nor_workers_can_be_seen_in_the_rows)
{
    uint32_t shards = 1 + (uint32_t)_i % 3, workers = 1 + (uint32_t)_i / 3;
    struct rows_rig *rig = rows_rig_new(shards, MICROBATCHES, _i % 2 ? SOME_ADAM : PLAIN_SGD, 17, 12);
    struct chance chance = {(uint64_t)_i << 32};

    for (uint64_t step = 0; step < 12; step++) {
        push_step(rig, &chance, workers, step);
        ck_assert_uint_eq(rig->answer_count, 0);
        rows_check_all(rig, step + 1);
        rows_check_all(rig, step);
    }
    ck_assert_uint_eq(rig->failed, 0);
    rows_rig_free(rig);
}
END_TEST

/* ---- a bad network */

#define CLIENTS    3
#define STEPS      25
#define FLIGHT_MAX 80
#define REQUESTS   100000
#define PULL_KEYS  6
#define PUSHES_MAX (ROWS_RIG_SHARDS_MAX * TREE_COVER_MAX)

struct letter {
    bool is_push;
    uint32_t client;
    struct rows_push push; /* shard, step (or version) and request are a pull's too */
    uint32_t indices[PULL_KEYS];
};

struct player {
    char name[16];
    uint64_t step;
    struct tree_node nodes[TREE_COVER_MAX];
    uint32_t node_count;
    bool applied[PUSHES_MAX]; /* of the step: [node, shard] */
};

struct network {
    struct rows_rig *rig;
    struct chance chance;
    struct player players[CLIENTS];
    struct letter flight[FLIGHT_MAX];
    uint32_t flying;
    struct letter *sent; /* [REQUESTS], by request */
    uint64_t requests;
    uint32_t delivered, values, stale;
};

static void post(struct network *network, struct letter letter)
{
    letter.push.request = ++network->requests;
    MUST(network->requests < REQUESTS && network->flying < FLIGHT_MAX);
    network->sent[letter.push.request] = letter;
    network->flight[network->flying++] = letter;
}

/* Pushes, perhaps again, what is not known to be applied. */
static void player_push(struct network *network, uint32_t client)
{
    struct player *player = &network->players[client];
    struct letter letter = {.is_push = true, .client = client};
    uint32_t shards = network->rig->shard_count, chosen = draw(&network->chance, player->node_count * shards);
    struct buffer *payloads[2];

    if (player->applied[chosen])
        return;
    letter.push.shard = chosen % shards;
    letter.push.step = player->step;
    letter.push.node = player->nodes[chosen / shards];
    letter.push.subscribe =
        draw(&network->chance, 3) == 0 && rows_push_payloads(network->rig, &letter.push, payloads) > 0;
    if (letter.push.subscribe) {
        buffer_unref(payloads[0]);
        buffer_unref(payloads[1]);
    }
    letter.push.acknowledge = !letter.push.subscribe || draw(&network->chance, 2);
    post(network, letter);
}

/* Pulls some rows of the version that the player is at, or of the one that comes. */
static void player_pull(struct network *network, uint32_t client)
{
    struct letter letter = {.client = client};
    uint32_t indices[PLAIN_KEYS], count;

    letter.push.shard = draw(&network->chance, network->rig->shard_count);
    letter.push.step = network->players[client].step + draw(&network->chance, 2);
    count = rows_indices_of(network->rig, letter.push.shard, indices);
    for (int i = 0; i < PULL_KEYS; i++)
        letter.indices[i] = indices[draw(&network->chance, count)];
    post(network, letter);
}

/* The rows that a push with a subscription gets back. */
static void check_pushed_rows(const struct network *network, const struct letter *letter,
                              const struct rows_answer *answer)
{
    struct buffer *payloads[2];
    uint32_t indices[PLAIN_KEYS + PLAIN_PUSH_MAX];
    uint32_t count = rows_push_payloads(network->rig, &letter->push, payloads);

    MUST(count > 0);
    for (uint32_t i = 0; i < count; i++) {
        indices[i] = 0;
        while (plain_key(indices[i]) != ((const uint64_t *)payloads[0]->data)[i])
            indices[i]++;
    }
    rows_check(network->rig, answer, letter->push.step + 1, indices, count);
    buffer_unref(payloads[0]);
    buffer_unref(payloads[1]);
}

/* A push is known to be applied; when all are, the player goes on. */
static void player_applied(struct network *network, const struct letter *letter)
{
    struct player *player = &network->players[letter->client];
    uint32_t shards = network->rig->shard_count;
    bool all = true;

    if (letter->push.step != player->step)
        return;
    for (uint32_t i = 0; i < player->node_count * shards; i++) {
        if (i % shards == letter->push.shard)
            player->applied[i] = true; /* the version is there, whoever brought the rest */
        all = all && player->applied[i];
    }
    if (!all)
        return;
    memset(player->applied, 0, sizeof(player->applied));
    player->step++;
}

static void hear(struct network *network, const struct rows_answer *answer)
{
    const struct letter *letter = &network->sent[answer->header.request];
    uint64_t newest = network->players[0].step;

    MUST(answer->header.request > 0 && answer->header.request <= network->requests);
    MUST(answer->shard == letter->push.shard);
    MUST(strcmp(answer->client, network->players[letter->client].name) == 0);
    for (int i = 1; i < CLIENTS; i++)
        newest = network->players[i].step > newest ? network->players[i].step : newest;
    switch (answer->header.kind) {
    case DATA_REFUSED: /* only what comes so late that its version is gone */
        MUST(answer->header.refused == DATA_REFUSED_PASSED);
        MUST(letter->push.step + (letter->is_push ? 1 : 0) < newest);
        network->stale++;
        return;
    case DATA_APPLIED:
        MUST(letter->is_push && letter->push.acknowledge && answer->header.step == letter->push.step + 1);
        break;
    default:
        if (letter->is_push)
            check_pushed_rows(network, letter, answer);
        else
            rows_check(network->rig, answer, letter->push.step, letter->indices, PULL_KEYS);
        network->values++;
    }
    if (letter->is_push)
        player_applied(network, letter);
}

/* One letter arrives, or is lost, or arrives and flies on; some answers are lost. */
static void deliver(struct network *network)
{
    uint32_t chosen = draw(&network->chance, network->flying), fate = draw(&network->chance, 10);
    struct letter letter = network->flight[chosen];
    struct rows_rig *rig = network->rig;

    if (fate != 0) /* else there is one more of it */
        network->flight[chosen] = network->flight[--network->flying];
    if (fate == 1)
        return;
    network->delivered++;
    if (letter.is_push)
        rows_push(rig, network->players[letter.client].name, &letter.push);
    else
        rows_pull(rig, network->players[letter.client].name, letter.push.shard, letter.push.step,
                  letter.indices, PULL_KEYS, letter.push.request);
    for (uint32_t i = 0; i < rig->answer_count; i++) {
        if (draw(&network->chance, 8) != 0)
            hear(network, &rig->answers[i]);
    }
    rows_forget(rig);
}

static bool are_done(const struct network *network)
{
    for (int i = 0; i < CLIENTS; i++) {
        if (network->players[i].step < STEPS)
            return false;
    }
    return true;
}

static void play(struct network *network)
{
    while (!are_done(network)) {
        uint32_t client = draw(&network->chance, CLIENTS);

        if (network->flying > FLIGHT_MAX / 2 || (network->flying > 0 && draw(&network->chance, 2)))
            deliver(network);
        else if (network->players[client].step < STEPS && draw(&network->chance, 4))
            player_push(network, client);
        else if (network->players[client].step < STEPS)
            player_pull(network, client);
    }
}

START_TEST(a_bad_network_changes_no_bit)
{
    struct network network = {.chance = {(uint64_t)_i << 32}};

    network.rig = rows_rig_new(1 + (uint32_t)_i % 3, MICROBATCHES, _i % 2 ? SOME_ADAM : PLAIN_SGD,
                               (uint64_t)_i, STEPS + 1);
    network.sent = calloc(REQUESTS, sizeof(*network.sent));
    ck_assert_ptr_nonnull(network.sent);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        uint32_t begin, end;

        snprintf(network.players[i].name, sizeof(network.players[i].name), "player-%u", i);
        placement_span(MICROBATCHES, CLIENTS, i, &begin, &end);
        network.players[i].node_count = tree_cover(MICROBATCHES, begin, end, network.players[i].nodes);
    }
    play(&network);
    rows_check_all(network.rig, STEPS);
    ck_assert_uint_gt(network.delivered, 500);
    ck_assert_uint_gt(network.values, 50);
    ck_assert_uint_eq(network.rig->failed, 0);
    free(network.sent);
    rows_rig_free(network.rig);
}
END_TEST

/* ---- answers */

static struct rows_push push_of(struct tree_node node, uint64_t step, uint64_t request)
{
    return (struct rows_push){.step = step, .node = node, .request = request};
}

START_TEST(who_waits_is_answered_by_number)
{
    const uint32_t indices[] = {3, 0, 3}, others[] = {61};
    struct rows_rig *rig = rows_rig_new(1, MICROBATCHES, PLAIN_SGD, 2, 2);
    struct rows_push left = push_of(first_half, 0, 20), right = push_of(second_half, 0, 21);

    rows_pull(rig, "a", 0, 1, indices, 3, 10);
    rows_pull(rig, "a", 0, 1, others, 1, 11);
    left.acknowledge = right.acknowledge = right.subscribe = true;
    rows_push(rig, "b", &left);
    ck_assert_uint_eq(rig->answer_count, 0);
    rows_push(rig, "b", &left); /* again: one answer */
    rows_push(rig, "b", &right);
    ck_assert_uint_eq(rig->answer_count, 5);
    for (int i = 0; i < 5; i++) {
        static const uint64_t requests[] = {10, 11, 20, 21, 21};
        const struct rows_answer *answer = &rig->answers[i];

        ck_assert_uint_eq(answer->header.request, requests[i]);
        ck_assert_str_eq(answer->client, i < 2 ? "a" : "b");
        ck_assert_int_eq(answer->header.kind, i == 2 || i == 4 ? DATA_APPLIED : DATA_VALUES);
        ck_assert_uint_eq(answer->header.step, 1);
        if (i < 2)
            rows_check(rig, answer, 1, i ? others : indices, i ? 1 : 3);
    }
    rows_rig_free(rig);
}
END_TEST

START_TEST(two_versions_are_kept_and_the_newest_has_a_name)
{
    const uint32_t indices[] = {5, 199, 70};
    struct rows_rig *rig = rows_rig_new(1, MICROBATCHES, PLAIN_SGD, 3, 4);
    struct rows_push push = push_of(whole, 0, 0);

    for (push.step = 0; push.step < 3; push.step++)
        rows_push(rig, "b", &push);
    for (uint64_t version = 2; version <= 3; version++) {
        rows_pull(rig, "a", 0, version, indices, 3, version);
        rows_check(rig, rows_expect(rig, DATA_VALUES, "a", version), version, indices, 3);
    }
    rows_pull(rig, "a", 0, UINT64_MAX, indices, 3, 5);
    rows_check(rig, rows_expect(rig, DATA_VALUES, "a", 5), 3, indices, 3);
    rows_pull(rig, "a", 0, 1, indices, 3, 6);
    rows_expect_refusal(rig, DATA_REFUSED_PASSED, 6);
    rows_pull(rig, "a", 0, 5, indices, 3, 7);
    rows_expect_refusal(rig, DATA_REFUSED_MALFORMED, 7);
    rows_pull(rig, "a", 0, WIRE_STEP_MAX, indices, 3, 8);
    rows_expect_refusal(rig, DATA_REFUSED_MALFORMED, 8);
    rows_rig_free(rig);
}
END_TEST

/* Who waits for too much is told that answers will not come, and may ask for them again. */
START_TEST(what_a_client_waits_for_is_bounded)
{
    struct rows_rig *rig = rows_rig_new(1, MICROBATCHES, PLAIN_SGD, 3, 4);
    uint32_t indices[PLAIN_KEYS];
    uint64_t request = 1;

    for (uint32_t i = 0; i < PLAIN_KEYS; i++)
        indices[i] = i;
    while (rig->answer_count == 0 && request < WAITING_BYTES_MAX / WAIT_BYTES)
        rows_pull(rig, "a", 0, 1, indices, PLAIN_KEYS, request++);
    rows_expect_refusal(rig, DATA_REFUSED_LOST, request - 1);
    rows_rig_free(rig);
}
END_TEST

START_TEST(a_late_push_is_answered_and_changes_nothing)
{
    struct rows_rig *rig = rows_rig_new(1, MICROBATCHES, PLAIN_SGD, 3, 4);
    struct rows_push push = push_of(whole, 0, 0);

    for (push.step = 0; push.step < 3; push.step++)
        rows_push(rig, "b", &push);
    push = push_of(first_half, 2, 31);
    push.acknowledge = true;
    rows_push(rig, "c", &push);
    ck_assert_uint_eq(rows_expect(rig, DATA_APPLIED, "c", 31)->header.step, 3);
    push.step = 0; /* the version is gone, that it was there is known */
    rows_push(rig, "c", &push);
    ck_assert_uint_eq(rows_expect(rig, DATA_APPLIED, "c", 31)->header.step, 1);
    push.acknowledge = false;
    rows_push(rig, "c", &push);
    ck_assert_uint_eq(rig->answer_count, 0);
    push.subscribe = true;
    rows_push(rig, "c", &push);
    rows_expect_refusal(rig, DATA_REFUSED_PASSED, 31);
    push.step = 1; /* version 2 is kept */
    rows_push(rig, "c", &push);
    ck_assert_uint_eq(rows_expect(rig, DATA_VALUES, "c", 31)->header.step, 2);
    rows_check_all(rig, 3);
    rows_rig_free(rig);
}
END_TEST

/* ---- refusals */

struct message {
    struct data_header header;
    struct buffer *payloads[3];
};

/* A good push or pull of a key that lies on shard 0 (of 2), which a case then spoils. */
static struct message message_of(enum data_kind kind, const struct rows_rig *rig)
{
    struct message message = {.header = rows_header(kind, 0, 77)};
    uint32_t indices[PLAIN_KEYS];

    ck_assert_uint_gt(rows_indices_of(rig, 0, indices), 2);
    message.payloads[0] = buffer_new(2 * sizeof(uint64_t));
    message.payloads[1] = buffer_new(2 * PLAIN_DIMENSION * sizeof(float));
    message.payloads[2] = buffer_new(8);
    ck_assert(message.payloads[0] && message.payloads[1] && message.payloads[2]);
    memset(message.payloads[1]->data, 0, message.payloads[1]->length_bytes);
    for (int i = 0; i < 2; i++)
        ((uint64_t *)message.payloads[0]->data)[i] = plain_key(indices[i]);
    rows_add_payload(&message.header, DATA_UINT64, 2 * sizeof(uint64_t));
    if (kind == DATA_PUSH) {
        rows_add_payload(&message.header, DATA_FLOAT32, 2 * PLAIN_DIMENSION * sizeof(float));
        message.header.node = whole;
    }
    return message;
}

typedef void spoil(struct message *message);

static void another_job(struct message *message)
{
    message->header.job++;
}
static void an_older_incarnation(struct message *message)
{
    message->header.incarnation--;
}
static void a_newer_incarnation(struct message *message)
{
    message->header.incarnation++;
}
static void another_table(struct message *message)
{
    message->header.table++;
}
static void a_table_of_a_training(struct message *message)
{
    message->header.table = TABLE_WEIGHTS;
}
static void a_node_of_no_tree(struct message *message)
{
    message->header.node = (struct tree_node){1, 3};
}
static void a_node_beyond_the_tree(struct message *message)
{
    message->header.node.end++;
}
static void a_later_step(struct message *message)
{
    message->header.step++;
}
static void a_version_too_far_ahead(struct message *message)
{
    message->header.step = 2;
}
static void keys_of_another_type(struct message *message)
{
    message->header.payloads[0].type = DATA_FLOAT64;
}
static void rows_of_another_type(struct message *message)
{
    message->header.payloads[1].type = DATA_UINT64;
}
static void rows_too_short(struct message *message)
{
    message->header.payloads[1].length_bytes -= 4;
    message->payloads[1]->length_bytes -= 4;
}
static void no_rows(struct message *message)
{
    message->header.payload_count--;
}
static void empty_rows(struct message *message)
{
    message->header.payloads[1].length_bytes = 0;
    buffer_unref(message->payloads[1]);
    message->payloads[1] = NULL;
}
static void empty_keys(struct message *message)
{
    message->header.payloads[0].length_bytes = 0;
    buffer_unref(message->payloads[0]);
    message->payloads[0] = NULL;
}
static void a_payload_more(struct message *message)
{
    if (message->header.payload_count == 1) {
        struct buffer *rows = message->payloads[1];

        message->payloads[1] = message->payloads[2];
        message->payloads[2] = rows;
    }
    rows_add_payload(&message->header, DATA_UINT64, 8);
}
static void a_foreign_key(struct message *message)
{
    uint64_t *keys = message->payloads[0]->data;

    while (((plain_mix(keys[1]) >> 32) * PLACEMENT_SLOTS_MIN >> 32) % 2 == 0) /* the slot's shard */
        keys[1]++;
}
static void too_many_rows(struct message *message)
{
    size_t bytes = (WIRE_PAYLOAD_BYTES_MAX / (PLAIN_DIMENSION * sizeof(float)) + 1) * sizeof(uint64_t);

    buffer_unref(message->payloads[0]);
    message->payloads[0] = buffer_new(bytes);
    ck_assert_ptr_nonnull(message->payloads[0]);
    memset(message->payloads[0]->data, 0, bytes);
    message->header.payloads[0].length_bytes = bytes;
}
static void a_subscription_to_no_rows(struct message *message)
{
    message->header.payload_count = 0;
    message->header.subscribe = true;
}
static void values(struct message *message)
{
    message->header.kind = DATA_VALUES;
}

static const struct {
    enum data_kind kind;
    spoil *spoil;
    enum data_refused reason;
} spoils[] = {
    {DATA_PUSH, another_job, DATA_REFUSED_UNKNOWN},
    {DATA_PUSH, an_older_incarnation, DATA_REFUSED_STALE},
    {DATA_PUSH, a_newer_incarnation, DATA_REFUSED_STALE},
    {DATA_PUSH, another_table, DATA_REFUSED_UNKNOWN},
    {DATA_PUSH, a_table_of_a_training, DATA_REFUSED_UNKNOWN},
    {DATA_PUSH, a_node_of_no_tree, DATA_REFUSED_MALFORMED},
    {DATA_PUSH, a_node_beyond_the_tree, DATA_REFUSED_MALFORMED},
    {DATA_PUSH, a_later_step, DATA_REFUSED_MALFORMED},
    {DATA_PUSH, keys_of_another_type, DATA_REFUSED_MALFORMED},
    {DATA_PUSH, rows_of_another_type, DATA_REFUSED_MALFORMED},
    {DATA_PUSH, rows_too_short, DATA_REFUSED_MALFORMED},
    {DATA_PUSH, no_rows, DATA_REFUSED_MALFORMED},
    {DATA_PUSH, empty_rows, DATA_REFUSED_MALFORMED},
    {DATA_PUSH, empty_keys, DATA_REFUSED_MALFORMED},
    {DATA_PUSH, a_payload_more, DATA_REFUSED_MALFORMED},
    {DATA_PUSH, a_foreign_key, DATA_REFUSED_UNKNOWN},
    {DATA_PUSH, too_many_rows, DATA_REFUSED_MALFORMED},
    {DATA_PUSH, a_subscription_to_no_rows, DATA_REFUSED_MALFORMED},
    {DATA_PUSH, values, DATA_REFUSED_MALFORMED},
    {DATA_PULL, another_job, DATA_REFUSED_UNKNOWN},
    {DATA_PULL, an_older_incarnation, DATA_REFUSED_STALE},
    {DATA_PULL, another_table, DATA_REFUSED_UNKNOWN},
    {DATA_PULL, a_version_too_far_ahead, DATA_REFUSED_MALFORMED},
    {DATA_PULL, keys_of_another_type, DATA_REFUSED_MALFORMED},
    {DATA_PULL, empty_keys, DATA_REFUSED_MALFORMED},
    {DATA_PULL, a_payload_more, DATA_REFUSED_MALFORMED},
    {DATA_PULL, a_foreign_key, DATA_REFUSED_UNKNOWN},
    {DATA_PULL, too_many_rows, DATA_REFUSED_MALFORMED},
};
#define SPOILS ((int)(sizeof(spoils) / sizeof(spoils[0])))

START_TEST(what_does_not_fit_is_refused_and_changes_nothing)
{
    struct rows_rig *rig = rows_rig_new(2, MICROBATCHES, PLAIN_SGD, 4, 1);
    struct rows_push push = push_of(whole, 0, 1);
    struct message message = message_of(spoils[_i].kind, rig);

    spoils[_i].spoil(&message);
    for (int i = 0; i < 3; i++) {
        if (message.payloads[i])
            buffer_ref(message.payloads[i]);
    }
    rows_send(rig, 0, "c", &message.header, message.payloads);
    rows_expect_refusal(rig, spoils[_i].reason, 77);
    for (uint32_t i = 0; i < 3; i++) {
        ck_assert(!message.payloads[i] || i >= message.header.payload_count ||
                  buffer_is_exclusive(message.payloads[i]));
        buffer_unref(message.payloads[i]);
        if (i >= message.header.payload_count) /* it was not given away */
            buffer_unref(message.payloads[i]);
    }
    for (push.shard = 0; push.shard < 2; push.shard++)
        rows_push(rig, "c", &push);
    rows_check_all(rig, 1);
    ck_assert_uint_eq(rig->failed, 0);
    rows_rig_free(rig);
}
END_TEST

START_TEST(the_messages_that_are_spoilt_are_good)
{
    struct rows_rig *rig = rows_rig_new(2, MICROBATCHES, PLAIN_SGD, 4, 1);
    struct message push = message_of(DATA_PUSH, rig), pull = message_of(DATA_PULL, rig);

    push.header.acknowledge = true;
    rows_send(rig, 0, "c", &push.header, push.payloads);
    rows_expect(rig, DATA_APPLIED, "c", 77);
    rows_send(rig, 0, "c", &pull.header, pull.payloads);
    ck_assert_uint_eq(rows_expect(rig, DATA_VALUES, "c", 77)->count, 2);
    buffer_unref(push.payloads[2]);
    buffer_unref(pull.payloads[1]);
    buffer_unref(pull.payloads[2]);
    rows_rig_free(rig);
}
END_TEST

/* ---- the end of a job, and the next incarnation */

/* Leaves a pull and a push's acknowledgement waiting. */
static void let_wait(struct rows_rig *rig)
{
    const uint32_t index = 0;
    struct rows_push push = push_of(first_half, 0, 41);

    push.acknowledge = true;
    rows_pull(rig, "a", 0, 1, &index, 1, 40);
    rows_push(rig, "b", &push);
    ck_assert_uint_eq(rig->answer_count, 0);
}

static void expect_both_refused(struct rows_rig *rig)
{
    ck_assert_uint_eq(rig->answer_count, 2);
    for (uint32_t i = 0; i < 2; i++) {
        ck_assert_int_eq(rig->answers[i].header.kind, DATA_REFUSED);
        ck_assert_int_eq(rig->answers[i].header.refused, DATA_REFUSED_STALE);
        ck_assert_uint_eq(rig->answers[i].header.request, 40 + i);
        ck_assert_str_eq(rig->answers[i].client, i ? "b" : "a");
    }
    rows_forget(rig);
}

START_TEST(a_release_refuses_those_who_wait)
{
    struct rows_rig *rig = rows_rig_new(1, MICROBATCHES, PLAIN_SGD, 5, 1);
    const uint32_t index = 0;

    let_wait(rig);
    shard_release(rig->shards[0], ROWS_RIG_JOB, 0); /* an older incarnation's */
    ck_assert_uint_eq(rig->answer_count, 0);
    shard_release(rig->shards[0], ROWS_RIG_JOB, 1);
    expect_both_refused(rig);
    rows_pull(rig, "a", 0, 0, &index, 1, 42);
    rows_expect_refusal(rig, DATA_REFUSED_UNKNOWN, 42);
    rows_rig_free(rig);
}
END_TEST

START_TEST(a_new_incarnation_begins_anew)
{
    struct rows_rig *rig = rows_rig_new(1, MICROBATCHES, PLAIN_SGD, 5, 1);
    struct rows_push push = push_of(second_half, 0, 50);
    struct data_header header = rows_header(DATA_PUSH, 0, 51);
    struct buffer *none[1] = {NULL};

    let_wait(rig);
    shard_prepare(rig->shards[0], rig->assignment, 2, 0);
    ck_assert_uint_eq(rig->prepared, 2);
    expect_both_refused(rig);
    rows_push(rig, "b", &push);
    rows_expect_refusal(rig, DATA_REFUSED_STALE, 50);
    header.incarnation = 2; /* the half that was pushed before is forgotten */
    header.node = second_half;
    header.acknowledge = true;
    rows_send(rig, 0, "b", &header, none);
    ck_assert_uint_eq(rig->answer_count, 0);
    header.node = first_half;
    rows_send(rig, 0, "b", &header, none);
    rows_expect(rig, DATA_APPLIED, "b", 51);
    rows_rig_free(rig);
}
END_TEST

/* An update that fails leaves rows of two versions: nobody may read them. */
START_TEST(a_table_that_failed_is_read_by_nobody)
{
    struct rows_rig *rig = rows_rig_new(1, MICROBATCHES, PLAIN_SGD, 5, 1);
    struct sparse_table *sparse =
        shard_find(rig->shards[0], ROWS_RIG_JOB)->tables->items[ROWS_RIG_TABLE].sparse;
    struct rows_push push = push_of(whole, UINT32_MAX, 60);
    const uint32_t index = 0;

    sparse->version = UINT32_MAX; /* the last that rows can tell */
    push.acknowledge = true;
    rows_push(rig, "a", &push);
    ck_assert_uint_eq(rig->failed, 1);
    ck_assert_uint_eq(rig->answer_count, 0);
    rows_pull(rig, "a", 0, UINT64_MAX, &index, 1, 61);
    rows_expect_refusal(rig, DATA_REFUSED_MALFORMED, 61);
    rows_push(rig, "a", &push);
    ck_assert_uint_eq(rig->failed, 1);
    shard_release(rig->shards[0], ROWS_RIG_JOB, 1);
    rows_expect_refusal(rig, DATA_REFUSED_STALE, 60);
    rows_rig_free(rig);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("shard_rows");
    TCase *tests = tcase_create("shard_rows");

    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, neither_shards_nor_workers_can_be_seen_in_the_rows, 0, 12);
    tcase_add_loop_test(tests, a_bad_network_changes_no_bit, 0, 12);
    tcase_add_test(tests, who_waits_is_answered_by_number);
    tcase_add_test(tests, two_versions_are_kept_and_the_newest_has_a_name);
    tcase_add_test(tests, what_a_client_waits_for_is_bounded);
    tcase_add_test(tests, a_late_push_is_answered_and_changes_nothing);
    tcase_add_test(tests, the_messages_that_are_spoilt_are_good);
    tcase_add_loop_test(tests, what_does_not_fit_is_refused_and_changes_nothing, 0, SPOILS);
    tcase_add_test(tests, a_release_refuses_those_who_wait);
    tcase_add_test(tests, a_new_incarnation_begins_anew);
    tcase_add_test(tests, a_table_that_failed_is_read_by_nobody);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)

/* Which microbatches of a step have not come, as a shard tells who asks: against what was pushed. */
#include "check_main.h"
#include "shard_fixture.h"

#define M RIG_MICROBATCHES

/* Asks the shard of a table's chunk; false: it refused. */
static bool ask(struct rig *rig, uint32_t table, uint32_t chunk, uint64_t step, bool missing[M])
{
    struct data_header header = rig_header(DATA_MISSING, 1, table, step);
    const struct rig_reply *reply;
    const uint64_t *numbers;

    header.request = 77;
    rig_forget_replies(rig);
    rig_send(rig, rig_owner(rig, table, chunk), "asker", &header, NULL);
    ck_assert_uint_eq(rig->reply_count, 1);
    reply = &rig->replies[0];
    ck_assert_uint_eq(reply->header.request, 77);
    if (reply->header.kind == DATA_REFUSED) {
        ck_assert_int_eq(reply->header.refused, DATA_REFUSED_MALFORMED);
        return false;
    }
    ck_assert_int_eq(reply->header.kind, DATA_MISSING);
    ck_assert_uint_eq(reply->header.step, step);
    ck_assert_uint_eq(reply->header.payload_count, 1);
    memset(missing, 0, M * sizeof(missing[0]));
    numbers = reply->payloads[0] ? reply->payloads[0]->data : NULL;
    for (uint64_t i = 0; i < reply->header.payloads[0].length_bytes / sizeof(uint64_t); i += 2) {
        ck_assert_uint_lt(numbers[i], numbers[i + 1]);
        ck_assert_uint_le(numbers[i + 1], M);
        for (uint64_t leaf = numbers[i]; leaf < numbers[i + 1]; leaf++)
            missing[leaf] = true;
    }
    return true;
}

static void expect(struct rig *rig, uint32_t table, uint32_t chunk, uint64_t step, const char *expected)
{
    bool missing[M];

    ck_assert(ask(rig, table, chunk, step, missing));
    for (uint32_t i = 0; i < M; i++)
        ck_assert_msg(missing[i] == (expected[i] == 'x'), "microbatch %u of step %u", i, (unsigned)step);
}

static void expect_refusal(struct rig *rig, uint32_t table, uint64_t step)
{
    bool missing[M];

    ck_assert(!ask(rig, table, 0, step, missing));
}

static void push_sums(struct rig *rig, uint32_t table, uint64_t step, struct tree_node node)
{
    struct data_header header = rig_header(DATA_PUSH, 1, table, step);
    struct buffer *payload = buffer_new(RIG_METRICS * sizeof(double));

    ck_assert_ptr_nonnull(payload);
    memset(payload->data, 0, payload->length_bytes);
    header.node = node;
    header.payload_count = 1;
    header.payloads[0] = (struct data_payload){0, DATA_FLOAT64, payload->length_bytes};
    rig_send(rig, rig_owner(rig, table, 0), "a", &header, &payload);
}

/* Another chunk of the shard of chunk 0. */
static uint32_t neighbour(const struct rig *rig)
{
    uint32_t chunk = 1;

    while (rig_owner(rig, TABLE_WEIGHTS, chunk) != rig_owner(rig, TABLE_WEIGHTS, 0))
        chunk++;
    ck_assert_uint_lt(chunk, rig->job->graph->chunk_count);
    return chunk;
}

/* The tree over 5: [0, 2) and [2, 5), which is [2, 3) and [3, 5). */
START_TEST(what_some_chunk_lacks_is_missing)
{
    struct rig *rig = rig_begin(RIG_SGD, 100);
    uint32_t other = neighbour(rig);

    expect(rig, TABLE_WEIGHTS, 0, 0, "xxxxx");
    rig_push(rig, "a", 1, 0, (struct tree_node){0, 2}, 0, false);
    rig_push(rig, "a", 1, 0, (struct tree_node){0, 1}, other, false);
    expect(rig, TABLE_WEIGHTS, 0, 0, ".xxxx");
    rig_push(rig, "a", 1, 0, (struct tree_node){0, 2}, other, false);
    rig_push(rig, "a", 1, 0, (struct tree_node){3, 4}, 0, false);
    rig_push(rig, "a", 1, 0, (struct tree_node){3, 4}, other, false);
    expect(rig, TABLE_WEIGHTS, 0, 0, "..x.x");
    rig_push(rig, "a", 1, 0, (struct tree_node){2, 5}, 0, false); /* one chunk goes on */
    expect(rig, TABLE_WEIGHTS, 0, 0, "..x.x");
    rig_push(rig, "a", 1, 0, (struct tree_node){2, 5}, other, false);
    expect(rig, TABLE_WEIGHTS, 0, 0, ".....");
    expect(rig, TABLE_WEIGHTS, 0, 1, "xxxxx");
    expect_refusal(rig, TABLE_WEIGHTS, 2);
    rig_free(rig);
}
END_TEST

START_TEST(of_sums_as_well)
{
    struct rig *rig = rig_begin(RIG_SGD, 100);

    push_sums(rig, TABLE_METRICS, 0, (struct tree_node){2, 5});
    expect(rig, TABLE_METRICS, 0, 0, "xx...");
    expect_refusal(rig, TABLE_METRICS, 1);
    push_sums(rig, TABLE_METRICS, 0, (struct tree_node){0, 2});
    expect(rig, TABLE_METRICS, 0, 0, ".....");
    expect(rig, TABLE_METRICS, 0, 1, "xxxxx");
    expect(rig, TABLE_VALIDATION, 0, 8, "xxxxx"); /* may skip steps */
    push_sums(rig, TABLE_VALIDATION, 8, (struct tree_node){0, 1});
    expect(rig, TABLE_VALIDATION, 0, 8, ".xxxx");
    expect_refusal(rig, TABLE_VALIDATION, 9);
    rig_free(rig);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("shard_missing");
    TCase *tests = tcase_create("shard_missing");

    tcase_add_test(tests, what_some_chunk_lacks_is_missing);
    tcase_add_test(tests, of_sums_as_well);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)

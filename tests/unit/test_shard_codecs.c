/* Tables whose gradients travel in a codec: the same bits for any cover, order and number of shards, bytes
 * that no encoder writes, and what is saved. */
#include "check_main.h"
#include "codec_rig.h"

#define STEPS 5

static const char *const codecs[] = {
    "float32",
    "float16",
    "{float16: {rounding: stochastic}}",
    "bfloat16",
    "{bfloat16: {rounding: stochastic}}",
    "int8",
    "{int8: {block: 16, rounding: nearest}}",
    "{top_k: {share: 0.05}}",
};
#define CODECS (int)(sizeof(codecs) / sizeof(codecs[0]))

static bool is_top_k(const char *codec)
{
    return strstr(codec, "top_k") != NULL;
}

/* ---- covers */

/* Pushes random nodes, some of them twice, until the step is whole. */
static void random_step(struct codec_rig *rig, struct codec_plain *plain, struct chance *chance)
{
    bool covered[CODEC_RIG_MICROBATCHES] = {false};
    uint32_t left = CODEC_RIG_MICROBATCHES;

    while (left > 0) {
        uint32_t begin = draw(chance, CODEC_RIG_MICROBATCHES);
        uint32_t end = begin + 1 + draw(chance, CODEC_RIG_MICROBATCHES - begin);
        struct tree_node nodes[TREE_COVER_MAX];
        uint32_t count = tree_cover(CODEC_RIG_MICROBATCHES, begin, end, nodes);

        for (uint32_t i = count; i > 0 && left > 0; i--) {
            codec_push(rig, plain, 1, nodes[i - 1]);
            for (uint32_t leaf = nodes[i - 1].begin; leaf < nodes[i - 1].end; leaf++) {
                left -= !covered[leaf];
                covered[leaf] = true;
            }
        }
    }
}

START_TEST(covers_and_shards_cannot_be_seen)
{
    const char *codec = codecs[_i];

    for (uint32_t shards = 1; shards <= CODEC_RIG_SHARDS_MAX; shards++) {
        struct codec_rig *rig = codec_rig_new(shards, codec, !is_top_k(codec), is_top_k(codec) ? 3 : 1000);
        struct codec_plain *plain = codec_plain_new(rig);
        struct chance chance = {(uint64_t)_i << 32 | shards};

        codec_check_all(rig, 1, plain);
        for (uint32_t step = 0; step < STEPS; step++) {
            random_step(rig, plain, &chance);
            codec_plain_step(rig, plain);
            codec_check_all(rig, 1, plain);
            if (rig->pending[0])
                codec_rig_commit(rig, 1, plain->version);
        }
        free(plain);
        codec_rig_free(rig);
    }
}
END_TEST

/* A push of a whole step answers with values that are the very buffer of all who ask. */
START_TEST(a_version_is_encoded_once)
{
    struct codec_rig *rig = codec_rig_new(1, "bfloat16", false, 1000);
    struct codec_plain *plain = codec_plain_new(rig);
    const struct buffer *bytes;

    for (int i = 0; i < 3; i++)
        codec_pull_chunk(rig, 1, 1, 0);
    codec_push(rig, plain, 1, (struct tree_node){0, CODEC_RIG_MICROBATCHES});
    codec_pull_chunk(rig, 1, 1, 0);
    ck_assert_uint_ge(rig->answer_count, 2);
    bytes = rig->answers[0].payloads[0];
    for (uint32_t i = 1; i < rig->answer_count; i++)
        ck_assert_ptr_eq(rig->answers[i].payloads[0], bytes);
    codec_rig_forget(rig);
    codec_plain_step(rig, plain);
    codec_check_all(rig, 1, plain);
    free(plain);
    codec_rig_free(rig);
}
END_TEST

/* The last push of a training asks for what the shards hold, not for copies in the codec. */
static void push_for_exact(struct codec_rig *rig, struct codec_plain *plain, uint64_t step, bool has_sum)
{
    const struct tree_node root = {0, CODEC_RIG_MICROBATCHES};
    struct data_header header = codec_push_header(1, CODEC_RIG_DENSE, step, root);
    struct buffer *bytes = has_sum ? codec_chunk_bytes(rig, plain, root, 0) : NULL;

    header.subscribe = header.exact = true;
    header.payload_count = 1;
    header.payloads[0] =
        (struct data_payload){0, codec_gradient_type(rig, step), bytes ? bytes->length_bytes : 0};
    codec_send(rig, codec_owner(rig, 0), "a", &header, &bytes);
}

static void pull_exact(struct codec_rig *rig, uint64_t version, bool newest)
{
    struct data_header header = codec_header(DATA_PULL, 1, CODEC_RIG_DENSE, newest ? 0 : version);

    header.exact = true;
    header.newest = newest;
    header.payload_count = 1;
    header.payloads[0] = (struct data_payload){0, codec_value_type(rig), 0};
    codec_send(rig, codec_owner(rig, 0), "b", &header, NULL);
}

static void check_exact(const struct codec_rig *rig, const struct codec_answer *answer, const float *values)
{
    uint64_t begin;
    size_t count;

    codec_chunk(rig, 0, &begin, &count);
    ck_assert_int_eq(answer->header.kind, DATA_VALUES);
    ck_assert_int_eq(answer->header.payloads[0].type, DATA_FLOAT32);
    ck_assert_uint_eq(answer->payloads[0]->length_bytes, count * sizeof(float));
    ck_assert_mem_eq(answer->payloads[0]->data, values, count * sizeof(float));
}

START_TEST(a_push_may_ask_for_values_as_they_are)
{
    struct codec_rig *rig = codec_rig_new(1, codecs[_i], false, 3);
    struct codec_plain *plain = codec_plain_new(rig);
    uint64_t begin;
    size_t count;

    codec_chunk(rig, 0, &begin, &count);
    codec_pull_chunk(rig, 1, 1, 0); /* another, as the codec has it, of the same version */
    push_for_exact(rig, plain, 0, true);
    codec_plain_step(rig, plain);
    ck_assert_uint_eq(rig->answer_count, 2);
    codec_check_values(rig, &rig->answers[0], plain->array, count);
    check_exact(rig, &rig->answers[1], plain->array);
    codec_rig_forget(rig);
    push_for_exact(rig, plain, 0, false); /* late: answered at once */
    check_exact(rig, codec_expect_values(rig), plain->array);
    free(plain);
    codec_rig_free(rig);
}
END_TEST

/* So may a pull: now, later, and of whichever version is the newest. */
START_TEST(a_pull_may_ask_for_values_as_they_are)
{
    struct codec_rig *rig = codec_rig_new(1, codecs[_i], false, 3);
    struct codec_plain *plain = codec_plain_new(rig);
    const struct tree_node root = {0, CODEC_RIG_MICROBATCHES};

    pull_exact(rig, 0, false);
    check_exact(rig, codec_expect_values(rig), plain->array);
    codec_rig_forget(rig);
    pull_exact(rig, 1, false);
    ck_assert_uint_eq(rig->answer_count, 0);
    codec_push(rig, plain, 1, root);
    codec_plain_step(rig, plain);
    check_exact(rig, codec_expect_values(rig), plain->array);
    codec_rig_forget(rig);
    pull_exact(rig, 0, true);
    ck_assert_uint_eq(codec_expect_values(rig)->header.step, 1);
    check_exact(rig, codec_expect_values(rig), plain->array);
    codec_rig_forget(rig);
    free(plain);
    codec_rig_free(rig);
}
END_TEST

/* ---- commits */

/* Steps go on from a committed one, and from that alone. */
START_TEST(a_commit_brings_all_back)
{
    const char *codec = codecs[_i];
    struct codec_rig *rig = codec_rig_new(2, codec, !is_top_k(codec), 3);
    struct codec_plain *plain = codec_plain_new(rig), *committed = codec_plain_new(rig);
    struct chance chance = {(uint64_t)_i};

    for (uint32_t step = 0; step < 3; step++) {
        random_step(rig, plain, &chance);
        codec_plain_step(rig, plain);
    }
    codec_rig_commit(rig, 1, 3);
    memcpy(committed, plain, sizeof(*committed));
    memset(committed->residuals, 0, sizeof(committed->residuals)); /* what a new program knows of them */
    random_step(rig, plain, &chance);
    codec_rig_stop(rig);
    codec_rig_start(rig, 2, 3);
    codec_check_all(rig, 2, committed);
    for (uint32_t step = 3; step < 5; step++) {
        codec_push(rig, committed, 2, (struct tree_node){0, CODEC_RIG_MICROBATCHES});
        codec_plain_step(rig, committed);
        codec_plain_step(rig, plain);
        codec_check_all(rig, 2, committed);
    }
    ck_assert_mem_eq(committed->array, plain->array, sizeof(plain->array));
    free(plain);
    free(committed);
    codec_rig_free(rig);
}
END_TEST

/* What clients have not sent would be missing from such a commit. */
START_TEST(no_commit_is_made_while_something_was_not_sent)
{
    struct codec_rig *rig = codec_rig_new(2, codecs[_i], false, 3);
    struct codec_plain *plain = codec_plain_new(rig);
    bool may_commit = !is_top_k(codecs[_i]);

    for (uint32_t step = 0; step < 2; step++) {
        codec_push(rig, plain, 1, (struct tree_node){0, CODEC_RIG_MICROBATCHES});
        codec_plain_step(rig, plain);
    }
    for (uint32_t i = 0; i < rig->shard_count; i++)
        shard_commit(rig->shards[i], CODEC_RIG_JOB, 1, 2);
    ck_assert_uint_eq(rig->refused, may_commit ? 0 : rig->shard_count);
    if (may_commit)
        codec_rig_commit(rig, 1, 2);
    codec_push(rig, plain, 1, (struct tree_node){0, CODEC_RIG_MICROBATCHES});
    codec_plain_step(rig, plain);
    codec_check_all(rig, 1, plain); /* and the job goes on */
    codec_rig_commit(rig, 1, 3);
    free(plain);
    codec_rig_free(rig);
}
END_TEST

/* ---- bytes */

/* What a step of one push costs, in 1000ths of float32. */
START_TEST(bytes_shrink)
{
    static const uint32_t most[CODECS] = {1000, 500, 500, 500, 500, 275, 275, 600};
    struct codec_rig *rig = codec_rig_new(1, codecs[_i], false, 1000);
    struct codec_plain *plain = codec_plain_new(rig);
    struct tree_node leaf = {2, 3};

    codec_push(rig, plain, 1, (struct tree_node){0, CODEC_RIG_MICROBATCHES});
    ck_assert_uint_le(rig->pushed_bytes * 1000, sizeof(plain->array) * most[_i]);
    rig->pushed_bytes = 0;
    codec_plain_step(rig, plain);
    codec_push(rig, plain, 1, leaf);
    ck_assert_uint_le(rig->pushed_bytes * 1000,
                      sizeof(plain->array) * (is_top_k(codecs[_i]) ? 101 : most[_i]));
    free(plain);
    codec_rig_free(rig);
}
END_TEST

/* A push of one chunk, and of one after it, that may be spoiled: what it has, and where. */
static struct data_header two_chunks(struct codec_rig *rig, struct codec_plain *plain, struct tree_node node,
                                     struct buffer *payloads[2])
{
    struct data_header header = codec_push_header(1, CODEC_RIG_DENSE, plain->version, node);

    header.payload_count = 2;
    for (uint32_t i = 0; i < 2; i++) {
        payloads[i] = codec_chunk_bytes(rig, plain, node, i);
        header.payloads[i] =
            (struct data_payload){i, codec_gradient_type(rig, plain->version), payloads[i]->length_bytes};
    }
    return header;
}

static void refused(struct codec_rig *rig, const struct data_header *header, struct buffer *payloads[2])
{
    codec_send(rig, 0, "a", header, payloads);
    codec_expect_refusal(rig, DATA_REFUSED_MALFORMED);
}

/* Spoils the second chunk's bytes so that no encoder writes them; false: of this codec all are good. */
static bool spoil(const struct codec_rig *rig, struct buffer *bytes)
{
    unsigned char *first = bytes->data;
    uint32_t no_index = UINT32_MAX - 1;

    if (rig->codec->type == CODEC_INT8)
        memset(first, 0xff, bytes->length_bytes);
    else if (rig->codec->type == CODEC_TOP_K)
        memcpy(first, &no_index, sizeof(no_index));
    else
        return false;
    return true;
}

/* Nothing of a message with one bad payload is taken, so the step comes out as if it had never come. */
START_TEST(bad_bytes_are_refused_as_a_whole)
{
    struct codec_rig *rig = codec_rig_new(1, codecs[_i], false, 1000);
    struct codec_plain *plain = codec_plain_new(rig);
    const struct tree_node leaf = {0, 1}, rest[] = {{1, 2}, {2, 5}};
    struct buffer *payloads[2];
    struct data_header header = two_chunks(rig, plain, leaf, payloads);

    if (spoil(rig, payloads[1]))
        refused(rig, &header, payloads);
    else
        codec_send(rig, 0, "a", &header, payloads);

    header = two_chunks(rig, plain, leaf, payloads);
    header.payloads[1].length_bytes = --payloads[1]->length_bytes;
    refused(rig, &header, payloads);

    header = two_chunks(rig, plain, leaf, payloads);
    buffer_unref(payloads[1]);
    payloads[1] = buffer_new(codec_size_max(rig->codec, CODEC_RIG_FLOATS) + 1);
    ck_assert_ptr_nonnull(payloads[1]);
    memset(payloads[1]->data, 0, payloads[1]->length_bytes);
    header.payloads[1].length_bytes = payloads[1]->length_bytes;
    refused(rig, &header, payloads);

    header = two_chunks(rig, plain, leaf, payloads);
    header.payloads[0].type = header.payloads[0].type == DATA_CODED ? DATA_FLOAT32 : DATA_CODED;
    refused(rig, &header, payloads);

    codec_push(rig, plain, 1, leaf);
    for (size_t i = 0; i < sizeof(rest) / sizeof(rest[0]); i++)
        codec_push(rig, plain, 1, rest[i]);
    codec_plain_step(rig, plain);
    codec_check_all(rig, 1, plain);
    free(plain);
    codec_rig_free(rig);
}
END_TEST

START_TEST(bad_rows_are_refused)
{
    struct codec_rig *rig = codec_rig_new(1, codecs[_i], true, 1000);
    struct codec_plain *plain = codec_plain_new(rig);
    const struct tree_node root = {0, CODEC_RIG_MICROBATCHES};
    struct data_header header = codec_push_header(1, CODEC_RIG_SPARSE, 0, root);

    for (int spoiled = 0; spoiled < 3; spoiled++) {
        struct buffer *payloads[2];

        codec_rows(rig, 0, root, 0, payloads);
        ck_assert_uint_gt(payloads[0]->length_bytes, 0);
        header.payload_count = 2;
        header.payloads[0] = (struct data_payload){0, DATA_UINT64, payloads[0]->length_bytes};
        header.payloads[1] = (struct data_payload){1, codec_gradient_type(rig, 0), payloads[1]->length_bytes};
        if (spoiled == 0)
            header.payloads[1].type = header.payloads[1].type == DATA_CODED ? DATA_FLOAT32 : DATA_CODED;
        else if (spoiled == 1)
            header.payloads[1].length_bytes = --payloads[1]->length_bytes;
        else if (!spoil(rig, payloads[1])) {
            buffer_unref(payloads[0]);
            buffer_unref(payloads[1]);
            break;
        }
        refused(rig, &header, payloads);
    }
    codec_push(rig, plain, 1, root);
    codec_plain_step(rig, plain);
    codec_check_all(rig, 1, plain);
    free(plain);
    codec_rig_free(rig);
}
END_TEST

static Suite *shard_codecs_suite(void)
{
    Suite *suite = suite_create("shard_codecs");
    TCase *tests = tcase_create("shard_codecs");

    tcase_set_timeout(tests, 60);
    tcase_add_loop_test(tests, covers_and_shards_cannot_be_seen, 0, CODECS);
    tcase_add_test(tests, a_version_is_encoded_once);
    tcase_add_loop_test(tests, a_push_may_ask_for_values_as_they_are, 0, CODECS);
    tcase_add_loop_test(tests, a_pull_may_ask_for_values_as_they_are, 0, CODECS);
    tcase_add_loop_test(tests, a_commit_brings_all_back, 0, CODECS);
    tcase_add_loop_test(tests, no_commit_is_made_while_something_was_not_sent, 0, CODECS);
    tcase_add_loop_test(tests, bytes_shrink, 0, CODECS);
    tcase_add_loop_test(tests, bad_bytes_are_refused_as_a_whole, 0, CODECS);
    tcase_add_loop_test(tests, bad_rows_are_refused, 0, CODECS - 1);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(shard_codecs_suite)

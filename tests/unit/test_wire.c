/* The data header: every member at its bounds, and what must not pass. */
#include "check_main.h"

#include "net/wire.h"

#include <string.h>

static bool carries_chunks(enum data_kind kind)
{
    return kind == DATA_PUSH || kind == DATA_VALUES || kind == DATA_UPDATE || kind == DATA_SNAPSHOT;
}

static bool is_of_chains(enum data_kind kind)
{
    return kind == DATA_UPDATE || kind == DATA_SNAPSHOT || kind == DATA_TAKEN || kind == DATA_ASK;
}

static struct data_header sample(enum data_kind kind)
{
    struct data_header header;

    memset(&header, 0, sizeof(header));
    header.kind = kind;
    header.job = 3;
    header.incarnation = 4;
    header.table = 1;
    header.step = 1000;
    header.payload_count = 1;
    header.payloads[0] = (struct data_payload){5, DATA_FLOAT32, carries_chunks(kind) ? 64 : 0};
    header.request = 12;
    if (kind == DATA_PUSH) {
        header.node = (struct tree_node){2, 4};
        header.samples = 32;
    }
    if (kind == DATA_REFUSED) {
        header.refused = DATA_REFUSED_UNKNOWN;
        strcpy(header.message, "no such job");
    }
    return header;
}

/* A header with everything as large as it may be. */
static struct data_header largest(enum data_kind kind)
{
    struct data_header header = sample(kind);

    header.job = UINT64_MAX;
    header.incarnation = UINT64_MAX;
    header.table = UINT32_MAX;
    header.step = WIRE_STEP_MAX;
    header.request = UINT64_MAX;
    header.payload_count = WIRE_PAYLOADS_MAX;
    for (int i = 0; i < WIRE_PAYLOADS_MAX; i++)
        header.payloads[i] = (struct data_payload){
            UINT32_MAX, DATA_FLOAT64, header.payloads[0].length_bytes ? WIRE_PAYLOAD_BYTES_MAX : 0};
    if (kind == DATA_PUSH) {
        header.step = WIRE_STEP_MAX - 1; /* the version that it makes is a step as well */
        header.node = (struct tree_node){TREE_LEAVES_MAX - 1, TREE_LEAVES_MAX};
        header.samples = WIRE_SAMPLES_MAX;
        header.worker = UINT64_MAX;
        header.map = UINT64_MAX - 1;
        header.subscribe = header.acknowledge = header.exact = true;
    }
    if (kind == DATA_UPDATE) {
        header.step = WIRE_STEP_MAX - 1;
        header.samples = TREE_LEAVES_MAX * WIRE_SAMPLES_MAX;
        header.worker = UINT64_MAX;
        header.worker_step = WIRE_STEP_MAX - 1;
        header.divisor = WIRE_STEP_MAX;
    }
    if (is_of_chains(kind))
        header.map = UINT64_MAX;
    if (kind == DATA_PULL) {
        header.worker = UINT64_MAX;
        header.map = UINT64_MAX - 1;
        header.committed = header.newest = header.exact = true;
    }
    if (kind == DATA_VALUES || kind == DATA_APPLIED)
        header.tables = UINT32_MAX;
    if (kind == DATA_REFUSED) {
        header.refused = DATA_REFUSED_PASSED;
        memset(header.message, 'x', WIRE_MESSAGE_MAX - 1);
    }
    return header;
}

static void check_equal(const struct data_header *a, const struct data_header *b)
{
    ck_assert_int_eq(a->kind, b->kind);
    ck_assert_uint_eq(a->job, b->job);
    ck_assert_uint_eq(a->incarnation, b->incarnation);
    ck_assert_uint_eq(a->table, b->table);
    ck_assert_uint_eq(a->step, b->step);
    ck_assert_uint_eq(a->request, b->request);
    ck_assert_uint_eq(a->node.begin, b->node.begin);
    ck_assert_uint_eq(a->node.end, b->node.end);
    ck_assert_uint_eq(a->samples, b->samples);
    ck_assert_uint_eq(a->worker, b->worker);
    ck_assert_uint_eq(a->worker_step, b->worker_step);
    ck_assert_uint_eq(a->divisor, b->divisor);
    ck_assert_uint_eq(a->map, b->map);
    ck_assert_int_eq(a->subscribe, b->subscribe);
    ck_assert_int_eq(a->exact, b->exact);
    ck_assert_int_eq(a->acknowledge, b->acknowledge);
    ck_assert_int_eq(a->committed, b->committed);
    ck_assert_int_eq(a->newest, b->newest);
    ck_assert_uint_eq(a->tables, b->tables);
    ck_assert_uint_eq(a->payload_count, b->payload_count);
    for (uint32_t i = 0; i < a->payload_count; i++) {
        ck_assert_uint_eq(a->payloads[i].chunk, b->payloads[i].chunk);
        ck_assert_int_eq(a->payloads[i].type, b->payloads[i].type);
        ck_assert_uint_eq(a->payloads[i].length_bytes, b->payloads[i].length_bytes);
    }
    ck_assert_int_eq(a->refused, b->refused);
    ck_assert_str_eq(a->message, b->message);
}

static void check_round_trip(const struct data_header *header)
{
    unsigned char bytes[WIRE_HEADER_MAX];
    size_t length = wire_data_pack(header, bytes);
    struct data_header back;
    struct error error = {.message = ""};

    memset(&back, 0xaa, sizeof(back));
    ck_assert_uint_le(length, WIRE_HEADER_MAX);
    ck_assert_msg(wire_data_unpack(bytes, length, &back, &error) == CAIRN_OK, "%s", error.message);
    check_equal(header, &back);
}

START_TEST(a_header_comes_back_as_it_was)
{
    struct data_header usual = sample((enum data_kind)_i), most = largest((enum data_kind)_i);

    check_round_trip(&usual);
    check_round_trip(&most);
}
END_TEST

START_TEST(keys_travel_in_pulls_and_nothing_in_pushes)
{
    struct data_header pull = sample(DATA_PULL), push = sample(DATA_PUSH);

    pull.payloads[0] = (struct data_payload){0, DATA_UINT64, 80};
    check_round_trip(&pull);
    ck_assert_uint_eq(wire_data_frames(&pull), 1);
    push.payload_count = 3;
    push.payloads[1] = (struct data_payload){6, DATA_FLOAT32, 0};
    push.payloads[2] = (struct data_payload){7, DATA_FLOAT32, 8};
    check_round_trip(&push);
    ck_assert_uint_eq(wire_data_frames(&push), 2);
    push.payload_count = 0;
    check_round_trip(&push);
    ck_assert_uint_eq(wire_data_frames(&push), 0);
}
END_TEST

START_TEST(coded_payloads_have_any_length)
{
    struct data_header push = sample(DATA_PUSH), values = sample(DATA_VALUES);

    for (uint64_t length = 1; length < 20; length++) {
        push.payloads[0] = values.payloads[0] = (struct data_payload){5, DATA_CODED, length};
        check_round_trip(&push);
        check_round_trip(&values);
    }
    push.payloads[0].length_bytes = 0;
    check_round_trip(&push);
}
END_TEST

START_TEST(a_refusal_needs_no_payload)
{
    struct data_header header = sample(DATA_REFUSED);

    header.payload_count = 0;
    header.job = header.incarnation = header.step = 0;
    header.table = 0;
    header.message[0] = '\0';
    check_round_trip(&header);
}
END_TEST

/* What shards of a chain tell each other is always about some chunk, and has a step that others can follow.
 */
START_TEST(chains_speak_of_chunks)
{
    Cairn__DataHeader packed = CAIRN__DATA_HEADER__INIT;
    Cairn__Payload payload = CAIRN__PAYLOAD__INIT, *payloads[] = {&payload};
    unsigned char bytes[WIRE_HEADER_MAX];
    struct data_header back;

    packed.protocol = PROTOCOL_VERSION;
    packed.payloads = payloads;
    payload.type = CAIRN__DATA_TYPE__DATA_TYPE_FLOAT32;
    for (int kind = DATA_UPDATE; kind <= DATA_ASK; kind++) {
        packed.kind = (Cairn__DataKind)kind;
        packed.n_payloads = 0;
        ck_assert_int_eq(wire_data_unpack(bytes, cairn__data_header__pack(&packed, bytes), &back, NULL),
                         CAIRN_PROTOCOL);
        packed.n_payloads = 1;
        ck_assert_int_eq(wire_data_unpack(bytes, cairn__data_header__pack(&packed, bytes), &back, NULL),
                         CAIRN_OK);
        payload.length_bytes = 4;
        ck_assert_int_eq(wire_data_unpack(bytes, cairn__data_header__pack(&packed, bytes), &back, NULL),
                         carries_chunks((enum data_kind)kind) ? CAIRN_OK : CAIRN_PROTOCOL);
        payload.length_bytes = 0;
    }
    packed.kind = CAIRN__DATA_KIND__DATA_KIND_UPDATE;
    packed.step = WIRE_STEP_MAX;
    ck_assert_int_eq(wire_data_unpack(bytes, cairn__data_header__pack(&packed, bytes), &back, NULL),
                     CAIRN_PROTOCOL);
    packed.step = 0;
    packed.worker_step = WIRE_STEP_MAX;
    ck_assert_int_eq(wire_data_unpack(bytes, cairn__data_header__pack(&packed, bytes), &back, NULL),
                     CAIRN_PROTOCOL);
    packed.worker_step = 0;
    packed.divisor = WIRE_STEP_MAX + 1;
    ck_assert_int_eq(wire_data_unpack(bytes, cairn__data_header__pack(&packed, bytes), &back, NULL),
                     CAIRN_PROTOCOL);
    packed.divisor = 0;
    packed.samples = TREE_LEAVES_MAX * WIRE_SAMPLES_MAX + 1;
    ck_assert_int_eq(wire_data_unpack(bytes, cairn__data_header__pack(&packed, bytes), &back, NULL),
                     CAIRN_PROTOCOL);
}
END_TEST

START_TEST(members_of_other_kinds_stay_behind)
{
    struct data_header header = sample(DATA_VALUES), back;
    unsigned char bytes[WIRE_HEADER_MAX];
    size_t length;

    header.node = (struct tree_node){9, 1};
    header.samples = UINT64_MAX;
    header.subscribe = header.acknowledge = header.committed = header.newest = header.exact = true;
    header.refused = (enum data_refused)77;
    memset(header.message, 'x', sizeof(header.message));
    length = wire_data_pack(&header, bytes);
    ck_assert_int_eq(wire_data_unpack(bytes, length, &back, NULL), CAIRN_OK);
    ck_assert_uint_eq(back.samples, 0);
    ck_assert(!back.subscribe && !back.acknowledge && !back.committed && !back.newest && !back.exact);
    ck_assert_str_eq(back.message, "");
    header = sample(DATA_PULL);
    header.tables = 5;
    length = wire_data_pack(&header, bytes);
    ck_assert_int_eq(wire_data_unpack(bytes, length, &back, NULL), CAIRN_OK);
    ck_assert_uint_eq(back.tables, 0);
}
END_TEST

/* A pull that asks which version of a table of rows is the newest names no keys; no other pull names nothing. */
START_TEST(a_question_for_the_newest_version_has_no_payloads)
{
    struct data_header header = {.kind = DATA_PULL, .job = 1, .table = 4, .newest = true, .acknowledge = true};
    struct data_header back;
    unsigned char bytes[WIRE_HEADER_MAX];
    Cairn__DataHeader packed = CAIRN__DATA_HEADER__INIT;

    ck_assert_int_eq(wire_data_unpack(bytes, wire_data_pack(&header, bytes), &back, NULL), CAIRN_OK);
    check_equal(&header, &back);
    packed.protocol = PROTOCOL_VERSION;
    packed.kind = CAIRN__DATA_KIND__DATA_KIND_PULL;
    packed.newest = true;
    ck_assert_int_eq(wire_data_unpack(bytes, cairn__data_header__pack(&packed, bytes), &back, NULL),
                     CAIRN_PROTOCOL);
    packed.newest = false;
    packed.acknowledge = true;
    ck_assert_int_eq(wire_data_unpack(bytes, cairn__data_header__pack(&packed, bytes), &back, NULL),
                     CAIRN_PROTOCOL);
}
END_TEST

/* ---- foreign headers, packed as no code of ours would */

struct foreign {
    Cairn__DataHeader header;
    Cairn__Payload payloads[WIRE_PAYLOADS_MAX + 1];
    Cairn__Payload *pointers[WIRE_PAYLOADS_MAX + 1];
};

static void foreign_init(struct foreign *foreign, enum data_kind kind)
{
    cairn__data_header__init(&foreign->header);
    foreign->header.protocol = PROTOCOL_VERSION;
    foreign->header.kind = (Cairn__DataKind)kind;
    foreign->header.node_end = 1;
    foreign->header.refused = CAIRN__REFUSED_REASON__REFUSED_REASON_STALE;
    for (int i = 0; i <= WIRE_PAYLOADS_MAX; i++) {
        cairn__payload__init(&foreign->payloads[i]);
        foreign->payloads[i].type = CAIRN__DATA_TYPE__DATA_TYPE_FLOAT32;
        foreign->payloads[i].length_bytes = kind == DATA_PUSH || kind == DATA_VALUES ? 4 : 0;
        foreign->pointers[i] = &foreign->payloads[i];
    }
    foreign->header.n_payloads = 1;
    foreign->header.payloads = foreign->pointers;
}

static enum status foreign_unpack(const struct foreign *foreign, struct data_header *header,
                                  struct error *error)
{
    unsigned char bytes[4096];
    size_t length = cairn__data_header__get_packed_size(&foreign->header);

    ck_assert_uint_le(length, sizeof(bytes));
    cairn__data_header__pack(&foreign->header, bytes);
    return wire_data_unpack(bytes, length, header, error);
}

static void check_refused(const struct foreign *foreign, const char *what)
{
    struct data_header header;
    struct error error = {.message = ""};

    ck_assert_int_eq(foreign_unpack(foreign, &header, &error), CAIRN_PROTOCOL);
    ck_assert_msg(strstr(error.message, what) != NULL, "\"%s\" does not say \"%s\"", error.message, what);
}

START_TEST(foreign_numbers_are_bounded)
{
    struct foreign foreign;
    struct data_header header;

    foreign_init(&foreign, DATA_PUSH);
    ck_assert_int_eq(foreign_unpack(&foreign, &header, NULL), CAIRN_OK);
    foreign.header.protocol = PROTOCOL_VERSION + 1;
    check_refused(&foreign, "protocol 2");
    foreign_init(&foreign, (enum data_kind)0);
    check_refused(&foreign, "kind");
    foreign_init(&foreign, (enum data_kind)(DATA_MISSING + 1));
    check_refused(&foreign, "kind");
    foreign_init(&foreign, (enum data_kind) - 1);
    check_refused(&foreign, "kind");
    foreign_init(&foreign, DATA_PUSH);
    foreign.header.step = WIRE_STEP_MAX + 1;
    check_refused(&foreign, "step");
    foreign.header.step = WIRE_STEP_MAX;
    check_refused(&foreign, "step");
    foreign_init(&foreign, DATA_PUSH);
    foreign.header.samples = WIRE_SAMPLES_MAX + 1;
    check_refused(&foreign, "samples");
    foreign_init(&foreign, DATA_REFUSED);
    foreign.header.refused = CAIRN__REFUSED_REASON__REFUSED_REASON_UNSPECIFIED;
    check_refused(&foreign, "reason");
    foreign.header.refused = (Cairn__RefusedReason)6;
    check_refused(&foreign, "reason");
}
END_TEST

START_TEST(foreign_nodes_are_in_order)
{
    struct foreign foreign;

    foreign_init(&foreign, DATA_PUSH);
    foreign.header.node_begin = 1;
    check_refused(&foreign, "node");
    foreign.header.node_begin = 2;
    check_refused(&foreign, "node");
    foreign.header.node_begin = 0;
    foreign.header.node_end = TREE_LEAVES_MAX + 1;
    check_refused(&foreign, "node");
}
END_TEST

START_TEST(foreign_payloads_are_bounded)
{
    struct foreign foreign;

    foreign_init(&foreign, DATA_VALUES);
    foreign.header.n_payloads = 0;
    check_refused(&foreign, "no payloads");
    foreign.header.n_payloads = WIRE_PAYLOADS_MAX + 1;
    check_refused(&foreign, "payloads are too many");
    foreign_init(&foreign, DATA_VALUES);
    foreign.payloads[0].type = CAIRN__DATA_TYPE__DATA_TYPE_UNSPECIFIED;
    check_refused(&foreign, "type");
    foreign.payloads[0].type = (Cairn__DataType)5;
    check_refused(&foreign, "type");
    foreign_init(&foreign, DATA_VALUES);
    foreign.payloads[0].length_bytes = 0;
    check_refused(&foreign, "length");
    foreign.payloads[0].length_bytes = WIRE_PAYLOAD_BYTES_MAX + 4;
    check_refused(&foreign, "length");
    foreign.payloads[0].length_bytes = 6;
    check_refused(&foreign, "multiple");
    foreign.payloads[0].type = CAIRN__DATA_TYPE__DATA_TYPE_FLOAT64;
    foreign.payloads[0].length_bytes = 4;
    check_refused(&foreign, "multiple");
    foreign_init(&foreign, DATA_PULL);
    foreign.payloads[0].length_bytes = 4;
    check_refused(&foreign, "none is carried");
}
END_TEST

START_TEST(a_foreign_line_is_short_and_plain)
{
    struct foreign foreign;
    struct data_header header;
    char line[WIRE_MESSAGE_MAX + 1];

    foreign_init(&foreign, DATA_REFUSED);
    foreign.header.message = (char *)"two\nlines\x1b[2J";
    ck_assert_int_eq(foreign_unpack(&foreign, &header, NULL), CAIRN_OK);
    ck_assert_str_eq(header.message, "two lines [2J");
    memset(line, 'x', WIRE_MESSAGE_MAX);
    line[WIRE_MESSAGE_MAX] = '\0';
    foreign.header.message = line;
    check_refused(&foreign, "too long");
    line[WIRE_MESSAGE_MAX - 1] = '\0';
    ck_assert_int_eq(foreign_unpack(&foreign, &header, NULL), CAIRN_OK);
}
END_TEST

START_TEST(noise_does_not_parse)
{
    struct data_header header = largest(DATA_VALUES), back;
    unsigned char bytes[WIRE_HEADER_MAX], many[WIRE_HEADER_MAX + 1] = {0};
    size_t length;
    struct error error;

    header.request = header.tables = 0; /* the payloads come last then */
    length = wire_data_pack(&header, bytes);
    ck_assert_int_eq(wire_data_unpack("", 0, &back, &error), CAIRN_PROTOCOL);
    ck_assert_int_eq(wire_data_unpack("\xff\xff\xff", 3, &back, &error), CAIRN_PROTOCOL);
    ck_assert_int_eq(wire_data_unpack(many, sizeof(many), &back, &error), CAIRN_PROTOCOL);
    ck_assert(strstr(error.message, "too many"));
    /* Cut anywhere it is refused or, between two payloads, a shorter header; never more than that. */
    for (size_t cut = 0; cut < length; cut++) {
        if (wire_data_unpack(bytes, cut, &back, NULL) == CAIRN_OK)
            ck_assert_uint_lt(back.payload_count, header.payload_count);
    }
}
END_TEST

START_TEST(a_header_that_wants_more_than_the_stack_is_refused)
{
    unsigned char bytes[WIRE_HEADER_MAX];
    struct data_header back;
    struct error error;

    /* Payload members of length 0: two bytes each, far more in memory. */
    for (size_t i = 0; i < sizeof(bytes); i += 2) {
        bytes[i] = 12 << 3 | 2;
        bytes[i + 1] = 0;
    }
    ck_assert_int_eq(wire_data_unpack(bytes, sizeof(bytes), &back, &error), CAIRN_PROTOCOL);
    ck_assert(strstr(error.message, "does not parse"));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("wire");
    TCase *tests = tcase_create("wire");

    tcase_add_test(tests, a_question_for_the_newest_version_has_no_payloads);
    tcase_add_loop_test(tests, a_header_comes_back_as_it_was, DATA_PUSH, DATA_MISSING + 1);
    tcase_add_test(tests, keys_travel_in_pulls_and_nothing_in_pushes);
    tcase_add_test(tests, coded_payloads_have_any_length);
    tcase_add_test(tests, a_refusal_needs_no_payload);
    tcase_add_test(tests, chains_speak_of_chunks);
    tcase_add_test(tests, members_of_other_kinds_stay_behind);
    tcase_add_test(tests, foreign_numbers_are_bounded);
    tcase_add_test(tests, foreign_nodes_are_in_order);
    tcase_add_test(tests, foreign_payloads_are_bounded);
    tcase_add_test(tests, a_foreign_line_is_short_and_plain);
    tcase_add_test(tests, noise_does_not_parse);
    tcase_add_test(tests, a_header_that_wants_more_than_the_stack_is_refused);
    suite_add_tcase(suite, tests);
    return suite;
}

CHECK_MAIN(make_suite)

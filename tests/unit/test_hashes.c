/* Records of hashes: what is written can be read, and what is damaged is refused with its line. */
#include "model/formats/hashes.h"

#include "check_main.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGEST "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
#define HEAD                                                                                                 \
    "cairn hashes 1\njob digits-1\nworker worker-0\nseed 7\ndigest " DIGEST "\ntensors 2\n"                  \
    "tensor dense/kernel\ntensor dense/bias\n"

static struct error error;
static struct hashes hashes;

static enum status parse(const char *text)
{
    hashes_fini(&hashes);
    return hashes_parse(text, strlen(text), "x.txt", &hashes, &error);
}

static void refused(const char *text, const char *message)
{
    ck_assert_int_eq(parse(text), CAIRN_CORRUPT);
    ck_assert_str_eq(error.message, message);
}

START_TEST(what_is_written_can_be_read)
{
    struct graph_parameter parameters[2] = {{.name = "dense/kernel"}, {.name = "dense/bi\nas"}};
    struct graph graph = {.parameter_count = 2, .parameters = parameters};
    struct hashes_origin origin = {
        .job = "digits-1", .worker = "a worker", .digest = DIGEST, .seed = UINT64_MAX};
    uint64_t sums[2] = {UINT64_C(0x00000000000000ff), UINT64_MAX};
    struct hashes_line line = {UINT64_MAX, true, INT64_MAX, sums};
    char text[4096], *head = hashes_head_text(&origin, &graph);
    size_t length;

    ck_assert_ptr_nonnull(head);
    ck_assert_uint_le(hashes_line_bytes_max(2), 512);
    length = (size_t)snprintf(text, sizeof(text), "%s", head);
    length += hashes_line_text(&line, 2, text + length);
    line.step = 3;
    line.is_copy = false;
    (void)hashes_line_text(&line, 2, text + length);
    ck_assert_msg(parse(text) == CAIRN_OK, "%s", error.message);
    ck_assert_str_eq(hashes.origin.worker, "a worker");
    ck_assert_str_eq(hashes.origin.digest, DIGEST);
    ck_assert_uint_eq(hashes.origin.seed, UINT64_MAX);
    ck_assert_str_eq(hashes.tensors[1], "dense/bi?as");
    ck_assert_uint_eq(hashes.line_count, 2);
    ck_assert_uint_eq(hashes.lines[0].step, UINT64_MAX);
    ck_assert(hashes.lines[0].is_copy && !hashes.lines[1].is_copy);
    ck_assert_int_eq(hashes.lines[0].time_ms, INT64_MAX);
    ck_assert_uint_eq(hashes.lines[1].sums[0], 0xff);
    ck_assert_uint_eq(hashes.lines[1].sums[1], UINT64_MAX);
    free(head);
}
END_TEST

START_TEST(many_lines)
{
    char *text = NULL;
    size_t size;
    FILE *file = open_memstream(&text, &size);

    fputs(HEAD, file);
    for (int i = 0; i < 1000; i++)
        fprintf(file, "%d exact %d %016x %016x\n", i, 2 * i, i, 7 * i);
    fclose(file);
    ck_assert_int_eq(parse(text), CAIRN_OK);
    ck_assert_uint_eq(hashes.line_count, 1000);
    for (uint64_t i = 0; i < 1000; i++) {
        ck_assert_uint_eq(hashes.lines[i].step, i);
        ck_assert_uint_eq(hashes.lines[i].sums[1], 7 * i);
    }
    free(text);
}
END_TEST

START_TEST(a_torn_last_line_counts_for_nothing)
{
    ck_assert_int_eq(parse(HEAD), CAIRN_OK);
    ck_assert_uint_eq(hashes.line_count, 0);
    ck_assert_int_eq(parse(HEAD "0 exact 5 0000000000000001 0000000000000002\n1 exact 6 00000000000"),
                     CAIRN_OK);
    ck_assert_uint_eq(hashes.line_count, 1);
}
END_TEST

START_TEST(what_is_damaged_is_refused)
{
    refused("", "x.txt:1: not a record of hashes: it does not begin with \"cairn hashes 1\"");
    refused("cairn hashes 2\n", "x.txt:1: not a record of hashes: it does not begin with \"cairn hashes 1\"");
    refused("cairn hashes 1\njob a", "x.txt:2: expected a line \"job ...\"");
    refused("cairn hashes 1\njob a\nworker b\nseed 18446744073709551616\n",
            "x.txt:4: a number that is none or too large");
    refused("cairn hashes 1\njob a\nworker b\nseed 1\ndigest 12\n",
            "x.txt:5: a digest has 64 hexadecimal digits");
    refused("cairn hashes 1\njob a\nworker b\nseed 1\ndigest " DIGEST "\ntensors 0\n",
            "x.txt:6: a model has tensors");
    refused("cairn hashes 1\njob a\nworker b\nseed 1\ndigest " DIGEST "\ntensors 4097\n",
            "x.txt:6: a number that is none or too large");
    refused(HEAD "x exact 5 0000000000000001 0000000000000002\n", "x.txt:9: expected a step's number");
    refused(HEAD "0 fair 5 0000000000000001 0000000000000002\n",
            "x.txt:9: expected \"exact\" or \"copy\" after the step");
    refused(HEAD "0 exact -5 0000000000000001 0000000000000002\n",
            "x.txt:9: expected a time in milliseconds");
    refused(HEAD "0 exact 5 0000000000000001\n",
            "x.txt:9: expected a hash of 16 hexadecimal digits a tensor");
    refused(HEAD "0 exact 5 0000000000000001 000000000000000G\n",
            "x.txt:9: expected a hash of 16 hexadecimal digits a tensor");
    refused(HEAD "0 exact 5 0000000000000001 0000000000000002 0000000000000003\n",
            "x.txt:9: more hashes than tensors");
}
END_TEST

static void teardown(void)
{
    hashes_fini(&hashes);
}

static Suite *make_suite(void)
{
    Suite *suite = suite_create("hashes");
    TCase *cases = tcase_create("hashes");

    tcase_add_checked_fixture(cases, NULL, teardown);
    tcase_add_test(cases, what_is_written_can_be_read);
    tcase_add_test(cases, many_lines);
    tcase_add_test(cases, a_torn_last_line_counts_for_nothing);
    tcase_add_test(cases, what_is_damaged_is_refused);
    suite_add_tcase(suite, cases);
    return suite;
}

CHECK_MAIN(make_suite)

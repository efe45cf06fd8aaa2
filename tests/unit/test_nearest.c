/* "Did you mean". */
#include "base/nearest.h"

#include "check_main.h"

#include <string.h>

static const char *const words[] = {
    "train", "check", "submit", "jobs", "status", "logs", "sparse_categorical_crossentropy"};

static const char *near_to(const char *word)
{
    return nearest_word(word, words, sizeof(words) / sizeof(words[0]));
}

START_TEST(one_edit_of_each_kind)
{
    ck_assert_str_eq(near_to("trin"), "train");    /* one missing */
    ck_assert_str_eq(near_to("traain"), "train");  /* one too many */
    ck_assert_str_eq(near_to("tragn"), "train");   /* one wrong */
    ck_assert_str_eq(near_to("tarin"), "train");   /* two swapped */
    ck_assert_str_eq(near_to("status"), "status"); /* itself */
}
END_TEST

START_TEST(far_words_have_no_neighbour)
{
    ck_assert_ptr_null(near_to("evaluate"));
    ck_assert_ptr_null(near_to(""));
    ck_assert_ptr_null(near_to("x"));
    ck_assert_ptr_null(near_to("abcd"));
    ck_assert_ptr_null(nearest_word("train", NULL, 0));
}
END_TEST

START_TEST(longer_words_may_differ_more)
{
    ck_assert_str_eq(near_to("sparse_categoricl_crosentrpy"), "sparse_categorical_crossentropy");
    ck_assert_ptr_null(near_to("categorical_crossentropy")); /* seven edits */
}
END_TEST

START_TEST(a_swap_counts_once)
{
    const char *const candidates[] = {"abxxdcyy", "abcdefgh"};

    ck_assert_ptr_null(nearest_word("badcfehg", candidates, 2)); /* three swaps, two edits allowed */
    ck_assert_str_eq(nearest_word("bacdefhg", candidates, 2), "abcdefgh");
}
END_TEST

START_TEST(the_nearest_wins)
{
    const char *const candidates[] = {"steps", "step", "stop"};

    ck_assert_str_eq(nearest_word("stp", candidates, 3), "step");
    ck_assert_str_eq(nearest_word("stepss", candidates, 3), "steps");
}
END_TEST

START_TEST(very_long_words)
{
    char longer[100];
    const char *const candidates[] = {longer, "aaaa"};

    memset(longer, 'a', sizeof(longer));
    longer[99] = '\0';
    ck_assert_ptr_null(nearest_word(longer, candidates, 2));
    ck_assert_str_eq(nearest_word("aaab", candidates, 2), "aaaa");
    longer[63] = '\0';
    ck_assert_ptr_eq(nearest_word(longer, candidates, 2), longer);
}
END_TEST

static Suite *nearest_suite(void)
{
    Suite *suite = suite_create("nearest");
    TCase *cases = tcase_create("nearest");

    tcase_add_test(cases, one_edit_of_each_kind);
    tcase_add_test(cases, far_words_have_no_neighbour);
    tcase_add_test(cases, longer_words_may_differ_more);
    tcase_add_test(cases, a_swap_counts_once);
    tcase_add_test(cases, the_nearest_wins);
    tcase_add_test(cases, very_long_words);
    suite_add_tcase(suite, cases);
    return suite;
}

CHECK_MAIN(nearest_suite)

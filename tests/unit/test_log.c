/* Log lines: what is written, read back through a pipe in place of stderr. */
#include "base/log.h"

#include "check_main.h"

#include <string.h>
#include <unistd.h>

static int pipe_ends[2];
static int kept_stderr;

static void redirect(void)
{
    ck_assert_int_eq(pipe(pipe_ends), 0);
    kept_stderr = dup(STDERR_FILENO);
    ck_assert_int_ge(dup2(pipe_ends[1], STDERR_FILENO), 0);
    close(pipe_ends[1]);
}

/* Puts stderr back and gives all that was written. */
static void written(char *text, size_t size)
{
    size_t used = 0;
    ssize_t got;

    ck_assert_int_ge(dup2(kept_stderr, STDERR_FILENO), 0);
    close(kept_stderr);
    while ((got = read(pipe_ends[0], text + used, size - 1 - used)) > 0)
        used += (size_t)got;
    text[used] = '\0';
    close(pipe_ends[0]);
}

START_TEST(levels_have_names)
{
    ck_assert_str_eq(log_level_words[LOG_LEVEL_ERROR], "error");
    ck_assert_str_eq(log_level_words[LOG_LEVEL_WARN], "warn");
    ck_assert_str_eq(log_level_words[LOG_LEVEL_INFO], "info");
    ck_assert_str_eq(log_level_words[LOG_LEVEL_DEBUG], "debug");
    ck_assert_ptr_null(log_level_words[LOG_LEVEL_DEBUG + 1]);
}
END_TEST

START_TEST(a_line_has_its_parts)
{
    char text[4096];

    redirect();
    log_init(LOG_LEVEL_INFO, "tester");
    log_info("began", "step=%d", 7);
    log_warn("bare", "");
    log_debug("hidden", "x=1");
    written(text, sizeof(text));
    ck_assert_int_eq(strncmp(text, "time=", 5), 0);
    ck_assert_ptr_nonnull(strstr(text, "level=info program=tester pid="));
    ck_assert_ptr_nonnull(strstr(text, "event=began step=7\n"));
    ck_assert_ptr_nonnull(strstr(text, "level=warn"));
    ck_assert_ptr_nonnull(strstr(text, "event=bare\n"));
    ck_assert_ptr_null(strstr(text, "hidden"));
}
END_TEST

START_TEST(a_line_is_one_line_and_bounded)
{
    char text[8192], longer[4000];

    memset(longer, 'a', sizeof(longer));
    longer[sizeof(longer) - 1] = '\0';
    redirect();
    log_init(LOG_LEVEL_INFO, "tester");
    log_error("broken", "text=\"a\nb\tc\"");
    log_error("long", "text=%s", longer);
    written(text, sizeof(text));
    ck_assert_ptr_nonnull(strstr(text, "text=\"a b c\"\n"));
    ck_assert_int_eq(text[strlen(text) - 1], '\n');
    ck_assert_uint_lt(strlen(strstr(text, "event=long")), 2048);
}
END_TEST

static Suite *log_suite(void)
{
    Suite *suite = suite_create("log");
    TCase *cases = tcase_create("log");

    tcase_add_test(cases, levels_have_names);
    tcase_add_test(cases, a_line_has_its_parts);
    tcase_add_test(cases, a_line_is_one_line_and_bounded);
    suite_add_tcase(suite, cases);
    return suite;
}

CHECK_MAIN(log_suite)

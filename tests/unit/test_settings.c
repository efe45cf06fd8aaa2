/* Settings from the command line, the environment and defaults. */
#include "base/settings.h"

#include "check_main.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct target {
    const char *job, *rest;
    const char *coordinator;
    int64_t servers, offset, json, transport, format, memory;
};

static const char *const transports[] = {"ipc", "tcp", "inproc", NULL};
static const char *const formats[] = {"idx", "csv", NULL};

static const struct setting rows[] = {
    {.name = "JOB",
     .type = SETTING_ARGUMENT,
     .required = 1,
     .help = "the job file",
     .offset = offsetof(struct target, job)},
    {.name = "REST", .type = SETTING_ARGUMENT, .help = "more", .offset = offsetof(struct target, rest)},
    {.name = "coordinator",
     .letter = 'c',
     .type = SETTING_TEXT,
     .environment = "TEST_COORDINATOR",
     .fallback = "tcp://127.0.0.1:7700",
     .value_name = "ENDPOINT",
     .help = "where the coordinator is",
     .offset = offsetof(struct target, coordinator)},
    {.name = "servers",
     .letter = 'n',
     .type = SETTING_INTEGER,
     .environment = "TEST_SERVERS",
     .fallback = "2",
     .minimum = 1,
     .maximum = 64,
     .value_name = "N",
     .help = "parameter servers",
     .offset = offsetof(struct target, servers)},
    {.name = "offset",
     .type = SETTING_INTEGER,
     .help = "any number",
     .offset = offsetof(struct target, offset)},
    {.name = "json",
     .letter = 'j',
     .type = SETTING_FLAG,
     .environment = "TEST_JSON",
     .help = "JSON",
     .offset = offsetof(struct target, json)},
    {.name = "transport",
     .type = SETTING_CHOICE,
     .environment = "TEST_TRANSPORT",
     .fallback = "tcp",
     .value_name = "NAME",
     .help = "how",
     .words = transports,
     .offset = offsetof(struct target, transport)},
    {.name = "format",
     .type = SETTING_CHOICE,
     .help = "of what",
     .words = formats,
     .offset = offsetof(struct target, format)},
    {.name = "memory",
     .type = SETTING_BYTES,
     .value_name = "BYTES",
     .help = "at most",
     .offset = offsetof(struct target, memory)},
};

static const struct settings_table table = {"cairn test", "Tests settings, one line of what it does.", rows,
                                            sizeof(rows) / sizeof(rows[0])};

static struct target target;
static struct error error;
static enum settings_outcome outcome;

/* Resolves the words, at most 9 up to the first NULL. */
static enum status resolve(const char *const words[9])
{
    char *argv[12] = {(char *)"test"};
    int argc = 1;

    while (argc < 10 && words[argc - 1]) {
        argv[argc] = (char *)words[argc - 1];
        argc++;
    }
    return settings_resolve(&table, argc, argv, &target, &outcome, &error);
}

#define RESOLVE(...) resolve((const char *const[9]){__VA_ARGS__})

#define ASSERT_REFUSED(message_, ...)                                                                        \
    do {                                                                                                     \
        ck_assert_int_eq(RESOLVE(__VA_ARGS__), CAIRN_INVALID);                                               \
        ck_assert_str_eq(error.message, message_);                                                           \
    } while (0)

START_TEST(defaults)
{
    memset(&target, 0xff, sizeof(target));
    ck_assert_int_eq(RESOLVE("job.yaml"), CAIRN_OK);
    ck_assert_int_eq(outcome, SETTINGS_RUN);
    ck_assert_str_eq(target.job, "job.yaml");
    ck_assert_ptr_null(target.rest);
    ck_assert_str_eq(target.coordinator, "tcp://127.0.0.1:7700");
    ck_assert_int_eq(target.servers, 2);
    ck_assert_int_eq(target.offset, 0);
    ck_assert_int_eq(target.json, 0);
}
END_TEST

START_TEST(all_ways_to_write_an_option)
{
    ck_assert_int_eq(RESOLVE("--servers", "3", "a", "--json", "b", "-c", "x"), CAIRN_OK);
    ck_assert_int_eq(target.servers, 3);
    ck_assert_int_eq(target.json, 1);
    ck_assert_str_eq(target.job, "a");
    ck_assert_str_eq(target.rest, "b");
    ck_assert_str_eq(target.coordinator, "x");
    ck_assert_int_eq(RESOLVE("--servers=4", "a", "-jcy"), CAIRN_OK);
    ck_assert_int_eq(target.servers, 4);
    ck_assert_int_eq(target.json, 1);
    ck_assert_str_eq(target.coordinator, "y");
    ck_assert_int_eq(RESOLVE("-n5", "-n", "6", "--", "--json"), CAIRN_OK);
    ck_assert_int_eq(target.servers, 6);
    ck_assert_int_eq(target.json, 0);
    ck_assert_str_eq(target.job, "--json");
    ck_assert_int_eq(RESOLVE("a", "--offset", "-12"), CAIRN_OK);
    ck_assert_int_eq(target.offset, -12);
}
END_TEST

START_TEST(the_environment_is_between)
{
    setenv("TEST_SERVERS", "7", 1);
    setenv("TEST_COORDINATOR", "", 1); /* empty: as if it were not there */
    setenv("TEST_JSON", "yes", 1);
    ck_assert_int_eq(RESOLVE("a"), CAIRN_OK);
    ck_assert_int_eq(target.servers, 7);
    ck_assert_int_eq(target.json, 1);
    ck_assert_str_eq(target.coordinator, "tcp://127.0.0.1:7700");
    ck_assert_int_eq(RESOLVE("a", "--servers=8"), CAIRN_OK);
    ck_assert_int_eq(target.servers, 8);
    setenv("TEST_SERVERS", "many", 1);
    ck_assert_int_eq(RESOLVE("a", "--servers=8"), CAIRN_OK); /* what is not used is not judged */
    ASSERT_REFUSED("TEST_SERVERS: \"many\" is not allowed; give a whole number, 1 to 64", "a");
    setenv("TEST_SERVERS", "1", 1);
    setenv("TEST_JSON", "perhaps", 1);
    ASSERT_REFUSED("TEST_JSON: \"perhaps\" is not allowed; give 0 or 1", "a");
    setenv("TEST_JSON", "off", 1);
    ck_assert_int_eq(RESOLVE("a"), CAIRN_OK);
    ck_assert_int_eq(target.json, 0);
}
END_TEST

START_TEST(numbers_are_whole_and_within_bounds)
{
    static const char *const bad[] = {"0", "65", "3x", "", " 3", "3.5", "99999999999999999999", "-1", "0x3"};
    char expected[256];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(expected, sizeof(expected), "--servers: \"%s\" is not allowed; give a whole number, 1 to 64",
                 bad[i]);
        ASSERT_REFUSED(expected, "a", "--servers", bad[i]);
    }
    ASSERT_REFUSED("--offset: \"x\" is not allowed; give a whole number", "a", "--offset", "x");
    ck_assert_int_eq(RESOLVE("a", "--servers", "64"), CAIRN_OK);
    ck_assert_int_eq(RESOLVE("a", "--servers", "1"), CAIRN_OK);
}
END_TEST

START_TEST(a_choice_is_a_word_of_its_list)
{
    ck_assert_int_eq(RESOLVE("a"), CAIRN_OK);
    ck_assert_int_eq(target.transport, 1);
    ck_assert_int_eq(target.format, -1); /* no default: nothing chose */
    ck_assert_int_eq(RESOLVE("a", "--transport", "ipc", "--format=csv"), CAIRN_OK);
    ck_assert_int_eq(target.transport, 0);
    ck_assert_int_eq(target.format, 1);
    setenv("TEST_TRANSPORT", "inproc", 1);
    ck_assert_int_eq(RESOLVE("a"), CAIRN_OK);
    ck_assert_int_eq(target.transport, 2);
    setenv("TEST_TRANSPORT", "TCP", 1);
    ASSERT_REFUSED("TEST_TRANSPORT: \"TCP\" is not allowed; give ipc, tcp or inproc", "a");
    ASSERT_REFUSED("--transport: \"inprok\" is not allowed; give ipc, tcp or inproc (did you mean inproc?)",
                   "a", "--transport", "inprok");
    ASSERT_REFUSED("--format: \"parquet\" is not allowed; give idx or csv", "a", "--format", "parquet");
    ASSERT_REFUSED("--format: \"\" is not allowed; give idx or csv", "a", "--format=");
    ASSERT_REFUSED("--format needs a value: --format VALUE", "a", "--format");
}
END_TEST

START_TEST(wrong_options_are_named)
{
    ASSERT_REFUSED("unknown option --server-count; see cairn test --help", "a", "--server-count=3");
    ASSERT_REFUSED("unknown option --servres; did you mean --servers?", "a", "--servres=3");
    ASSERT_REFUSED("unknown option --jsn; did you mean --json?", "--jsn");
    ASSERT_REFUSED("unknown option -x; see cairn test --help", "a", "-x");
    ASSERT_REFUSED("unknown option -x; see cairn test --help", "--json", "a", "-jx");
    ASSERT_REFUSED("--servers needs a value: --servers N", "a", "--servers");
    ASSERT_REFUSED("--coordinator needs a value: --coordinator ENDPOINT", "a", "-c");
    ASSERT_REFUSED("--offset needs a value: --offset VALUE", "a", "--offset");
    ASSERT_REFUSED("--json takes no value", "a", "--json=1");
    ASSERT_REFUSED("--help takes no value", "a", "--help=1");
    ASSERT_REFUSED("JOB is missing; see cairn test --help", "--json");
    ASSERT_REFUSED("unexpected argument \"c\"; see cairn test --help", "a", "b", "c");
}
END_TEST

START_TEST(a_required_option)
{
    const struct setting row = {.name = "data", .type = SETTING_TEXT, .required = 1};
    const struct settings_table small = {"cairn small", "x", &row, 1};
    char *argv[] = {(char *)"small", NULL};
    const char *data;

    ck_assert_int_eq(settings_resolve(&small, 1, argv, &data, &outcome, &error), CAIRN_INVALID);
    ck_assert_str_eq(error.message, "--data is missing; see cairn small --help");
}
END_TEST

/* What a command prints on stdout while `words` are resolved. */
static void printed_by(const char *const words[9], char *text, size_t size)
{
    int ends[2], kept = dup(STDOUT_FILENO);
    ssize_t got;
    size_t used = 0;

    ck_assert_int_eq(pipe(ends), 0);
    fflush(stdout);
    ck_assert_int_ge(dup2(ends[1], STDOUT_FILENO), 0);
    close(ends[1]);
    ck_assert_int_eq(resolve(words), CAIRN_OK);
    fflush(stdout);
    ck_assert_int_ge(dup2(kept, STDOUT_FILENO), 0);
    close(kept);
    while ((got = read(ends[0], text + used, size - 1 - used)) > 0)
        used += (size_t)got;
    text[used] = '\0';
    close(ends[0]);
}

static void assert_no_line_wider_than(const char *text, size_t width)
{
    while (*text) {
        size_t length = strcspn(text, "\n");

        ck_assert_uint_le(length, width);
        text += length + (text[length] == '\n');
    }
}

START_TEST(help_shows_everything)
{
    static const char *const parts[] = {"Usage: cairn test [options] JOB [REST]\n",
                                        "Tests settings, one line of what it does.",
                                        "Arguments:\n",
                                        "JOB ",
                                        "Options:\n",
                                        "-c, --coordinator ENDPOINT",
                                        "where the coordinator is",
                                        "tcp://127.0.0.1:7700; environment",
                                        "TEST_COORDINATOR",
                                        "-n, --servers N",
                                        "[1 to 64; default 2;",
                                        "    --offset VALUE",
                                        "-j, --json",
                                        "[ipc, tcp or inproc; default",
                                        "of what [idx or csv]",
                                        "-h, --help",
                                        "--version"};
    char text[4096];

    printed_by((const char *const[9]){"--help", "--nonsense"}, text, sizeof(text));
    ck_assert_int_eq(outcome, SETTINGS_HELP);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        ck_assert_msg(strstr(text, parts[i]) != NULL, "\"%s\" is not in:\n%s", parts[i], text);
    assert_no_line_wider_than(text, 80);
    printed_by((const char *const[9]){"-h"}, text, sizeof(text));
    ck_assert_int_eq(outcome, SETTINGS_HELP);
}
END_TEST

START_TEST(version_names_the_program)
{
    char text[256];

    printed_by((const char *const[9]){"--version"}, text, sizeof(text));
    ck_assert_int_eq(outcome, SETTINGS_VERSION);
    ck_assert_str_eq(text, "cairn " CAIRN_VERSION "\n");
}
END_TEST

START_TEST(bytes_have_letters)
{
    static const struct {
        const char *text;
        int64_t bytes;
    } good[] = {{"0", 0}, {"4096", 4096}, {"64K", 65536}, {"3m", 3 << 20}, {"8G", INT64_C(8) << 30}, {"1T", INT64_C(1) << 40}};
    static const char *const bad[] = {"", "G", "-1", "1GB", "1.5G", " 1", "8388608T", "1P"};

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        const char *words[9] = {"job.yaml", "--memory", good[i].text};

        ck_assert_msg(resolve(words) == CAIRN_OK, "%s", error.message);
        ck_assert_int_eq(target.memory, good[i].bytes);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const char *words[9] = {"job.yaml", "--memory", bad[i]};

        ck_assert_int_eq(resolve(words), CAIRN_INVALID);
        ck_assert_msg(strstr(error.message, "512M"), "%s", error.message);
    }
}
END_TEST

static Suite *settings_suite(void)
{
    Suite *suite = suite_create("settings");
    TCase *cases = tcase_create("settings");

    tcase_add_test(cases, bytes_have_letters);
    tcase_add_test(cases, defaults);
    tcase_add_test(cases, all_ways_to_write_an_option);
    tcase_add_test(cases, the_environment_is_between);
    tcase_add_test(cases, numbers_are_whole_and_within_bounds);
    tcase_add_test(cases, a_choice_is_a_word_of_its_list);
    tcase_add_test(cases, wrong_options_are_named);
    tcase_add_test(cases, a_required_option);
    tcase_add_test(cases, help_shows_everything);
    tcase_add_test(cases, version_names_the_program);
    suite_add_tcase(suite, cases);
    return suite;
}

CHECK_MAIN(settings_suite)

/* The start and the end of a daemon: settings, signals, exit codes, what it says. */
#include "net/daemon.h"

#include "check_main.h"
#include "net/setting_rows.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <zmq.h>

struct options {
    const char *coordinator;
    int64_t log_level;
};

static const struct setting rows[] = {SETTING_ROW_COORDINATOR(struct options),
                                      SETTING_ROW_LOG_LEVEL(struct options)};
static const struct settings_table table = {"cairn-test", "Tests.", rows, sizeof(rows) / sizeof(rows[0])};

static struct options options;
static int served;
static enum status serves_with;

/* Is told to end by a signal, which only the descriptor shows. */
static enum status serve(const void *settings, void *zmq_context, int stop_descriptor, struct error *error)
{
    struct pollfd item = {.fd = stop_descriptor, .events = POLLIN};
    struct signalfd_siginfo news;

    served++;
    ck_assert_ptr_eq(settings, &options);
    ck_assert_int_eq(zmq_ctx_get(zmq_context, ZMQ_IO_THREADS), 1);
    ck_assert_int_eq(poll(&item, 1, 0), 0);
    ck_assert_int_eq(kill(getpid(), served % 2 ? SIGTERM : SIGINT), 0);
    ck_assert_int_eq(poll(&item, 1, 5000), 1);
    ck_assert_int_eq(read(stop_descriptor, &news, sizeof(news)), sizeof(news)); /* not for the next to see */
    return serves_with == CAIRN_OK ? CAIRN_OK : error_set(error, serves_with, "the reason");
}

static struct daemon_program program = {"tester", &table, &options, &options.log_level, serve};

/* Runs the daemon with the words up to the first NULL; what it said on stderr in *said. */
static int run(char said[4096], const char *const words[3])
{
    char *argv[5] = {(char *)"cairn-test"};
    int ends[2], kept = dup(STDERR_FILENO), argc = 1, code;
    ssize_t length;

    for (; argc < 4 && words[argc - 1]; argc++)
        argv[argc] = (char *)words[argc - 1];
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_ge(dup2(ends[1], STDERR_FILENO), 0);
    close(ends[1]);
    code = daemon_main(&program, argc, argv);
    ck_assert_int_ge(dup2(kept, STDERR_FILENO), 0);
    close(kept);
    length = read(ends[0], said, 4095);
    ck_assert_int_ge(length, 0);
    said[length] = '\0';
    close(ends[0]);
    return code;
}

#define RUN(said_, ...) run(said_, (const char *const[3]){__VA_ARGS__})

START_TEST(signals_end_it)
{
    char said[4096];

    ck_assert_int_eq(RUN(said, NULL), DAEMON_STOPPED);
    ck_assert_ptr_nonnull(strstr(said, "level=info program=tester"));
    ck_assert_ptr_nonnull(strstr(said, "event=stopped"));
    ck_assert_int_eq(RUN(said, "--log-level", "error"), DAEMON_STOPPED);
    ck_assert_str_eq(said, "");
    ck_assert_int_eq(served, 2);
}
END_TEST

START_TEST(a_failure_is_one_line)
{
    static const enum status reasons[] = {CAIRN_INVALID, CAIRN_IO, CAIRN_CLOSED};
    char said[4096];

    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        serves_with = reasons[i];
        ck_assert_int_eq(RUN(said, NULL), DAEMON_FAILED);
        ck_assert_ptr_nonnull(strstr(said, "level=error program=tester"));
        ck_assert_ptr_nonnull(strstr(said, "event=failed reason=\"the reason\"\n"));
        ck_assert_ptr_eq(strchr(said, '\n'), said + strlen(said) - 1);
    }
}
END_TEST

START_TEST(refused_settings_are_one_line_and_another_code)
{
    char said[4096];

    ck_assert_int_eq(RUN(said, "--log-level", "debgu"), DAEMON_USAGE);
    ck_assert_str_eq(said,
                     "cairn-test: --log-level: \"debgu\" is not allowed; give error, warn, info or debug "
                     "(did you mean debug?)\n");
    setenv("CAIRN_LOG_LEVEL", "loud", 1);
    ck_assert_int_eq(RUN(said, NULL), DAEMON_USAGE);
    ck_assert_ptr_nonnull(strstr(said, "CAIRN_LOG_LEVEL: \"loud\""));
    ck_assert_int_eq(served, 0);
}
END_TEST

START_TEST(help_is_no_failure)
{
    char said[4096];

    ck_assert_int_eq(RUN(said, "--help"), DAEMON_STOPPED);
    ck_assert_str_eq(said, "");
    ck_assert_int_eq(served, 0);
}
END_TEST

/* Writes a file beyond the size that the process may write. */
static enum status serve_too_much(const void *settings, void *zmq_context, int stop_descriptor,
                                  struct error *error)
{
    const struct rlimit limit = {1, RLIM_INFINITY};
    char path[] = "/tmp/cairn-test-XXXXXX";
    int file = mkstemp(path);
    enum status status = CAIRN_OK;

    (void)settings, (void)zmq_context, (void)stop_descriptor;
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    if (pwrite(file, "xx", 1, 1) != 1)
        status = error_system(error, errno, "cannot write");
    close(file);
    unlink(path);
    return status;
}

START_TEST(a_file_that_may_not_grow_is_an_error_and_no_death)
{
    char said[4096];

    program.serve = serve_too_much;
    ck_assert_int_eq(RUN(said, NULL), DAEMON_FAILED);
    ck_assert_ptr_nonnull(strstr(said, "cannot write: File too large"));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("daemon");
    TCase *cases = tcase_create("daemon");

    unsetenv("CAIRN_LOG_LEVEL");
    unsetenv("CAIRN_COORDINATOR");
    tcase_add_test(cases, signals_end_it);
    tcase_add_test(cases, a_failure_is_one_line);
    tcase_add_test(cases, refused_settings_are_one_line_and_another_code);
    tcase_add_test(cases, help_is_no_failure);
    tcase_add_test(cases, a_file_that_may_not_grow_is_an_error_and_no_death);
    suite_add_tcase(suite, cases);
    return suite;
}

CHECK_MAIN(make_suite)

/* The program of a test that kills at random moments: how often and by which seed are options, and the seed
 * is printed, so that a run can be had again. Test code only. */
#ifndef CAIRN_TESTS_KILL_MAIN_H
#define CAIRN_TESTS_KILL_MAIN_H

#include <argp.h>
#include <check.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct kill_program {
    const char *suite;
    const TTest *test; /* runs for each variant, _i */
    int variants;
    const char *kills_help;
    int base_seconds; /* of the test's time, and for each kill */
    double seconds_a_kill;
    int *kills; /* of a variant; holds the default */
    uint64_t *seed;
};

static inline error_t kill_option(int key, char *text, struct argp_state *state)
{
    const struct kill_program *program = state->input;

    if (key == 'k')
        *program->kills = (atoi(text) + program->variants - 1) / program->variants;
    else if (key == 's')
        *program->seed = strtoull(text, NULL, 10);
    else
        return ARGP_ERR_UNKNOWN;
    return 0;
}

static inline int kill_main(int count, char **arguments, struct kill_program *program)
{
    const struct argp_option known[] = {{"kills", 'k', "N", 0, program->kills_help, 0},
                                        {"seed", 's', "S", 0, "of the random moments", 0},
                                        {0}};
    const struct argp parser = {.options = known, .parser = kill_option};
    Suite *suite = suite_create(program->suite);
    TCase *tests = tcase_create(program->suite);
    SRunner *runner = srunner_create(suite);
    int failed;

    *program->seed = (uint64_t)time(NULL) * 1000003 + (uint64_t)getpid();
    argp_parse(&parser, count, arguments, 0, NULL, program);
    printf("seed %" PRIu64 " (again: --kills %d --seed %" PRIu64 ")\n", *program->seed,
           program->variants * *program->kills, *program->seed);
    fflush(stdout);
    tcase_set_timeout(tests, program->base_seconds + program->seconds_a_kill * *program->kills);
    tcase_add_loop_test(tests, program->test, 0, program->variants);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
